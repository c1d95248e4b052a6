"""The states of the widgets around those of engines: boxes, tabs, texts, outputs. Pure.

They are what ipywidgets 8 would send, whose frontend draws them.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import REFERENCE

#: The version of the protocol of widgets, which a comm names when it is opened.
METADATA = {"version": "2.1.0"}

_VERSIONS = {"base": "2.0.0", "controls": "2.0.0", "output": "1.0.0"}


def _model(name: str, module: str, **values: object) -> JsonDict:
    package = f"@jupyter-widgets/{module}"
    return {
        "_model_name": f"{name}Model", "_view_name": f"{name}View",
        "_model_module": package, "_view_module": package,
        "_model_module_version": _VERSIONS[module], "_view_module_version": _VERSIONS[module],
        "_view_count": None, **values,
    }  # fmt: skip


def _visible(layout: str, **values: object) -> JsonDict:
    own: JsonDict = {"_dom_classes": [], "tabbable": None, "tooltip": None, **values}
    return {**own, "layout": REFERENCE + layout}


def references_to(ids: Sequence[str]) -> list[str]:
    """How a state names widgets."""
    return [REFERENCE + each for each in ids]


def layout() -> JsonDict:
    """What every visible widget has."""
    return _model("Layout", "base")


def box(layout_id: str, children: Sequence[str]) -> JsonDict:
    """Widgets below each other."""
    values = _visible(layout_id, box_style="", children=references_to(children))
    return _model("VBox", "controls", **values)


def tabs(layout_id: str) -> JsonDict:
    """A widget per tab; there are none yet."""
    values = _visible(layout_id, box_style="", children=[], titles=[], selected_index=0)
    return _model("Tab", "controls", **values)


def output(layout_id: str) -> JsonDict:
    """Outputs, of which there are none yet."""
    return _model("Output", "output", **_visible(layout_id, msg_id="", outputs=[]))


def text(layout_id: str, lines: Sequence[str]) -> JsonDict:
    """Lines of text."""
    values = _visible(
        layout_id, description="", description_allow_html=False, placeholder="",
        value=as_html(lines), style=None,
    )  # fmt: skip
    del values["style"]
    return _model("HTML", "controls", **values)


def as_html(lines: Sequence[str]) -> str:
    """Lines as the value of ``text``."""
    return f"<pre>{html.escape(chr(10).join(lines))}</pre>"
