"""Widgets as text: for saved notebooks, and for progress that is over. Pure.

A view in a saved notebook is an error message when it is opened again, until its cell has run. What
only tells how far something was, and cannot be touched, is therefore text once it is over.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from kernelfleet.errors.text import format_ids
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import references

#: Stands below the text that a frontend without widgets shows, and a saved notebook.
NOT_LIVE = (
    "(widgets of engines are live in JupyterLab and Notebook while their engines run; this is "
    "their text)"
)

_BARS = ("IntProgressModel", "FloatProgressModel")
#: Widgets that show something and cannot be touched, beside bars.
_TEXTS = ("LabelModel", "HTMLModel", "HTMLMathModel")
_AROUND = ("HBoxModel", "VBoxModel", "BoxModel", "GridBoxModel")
_WIDTH = 10


def is_progress(states: Mapping[str, JsonDict], root: str) -> bool:
    """Whether a widget is nothing but progress, which nobody can touch.

    Args:
        states: The values of the properties of each widget.
        root: The one that stands in the notebook.
    """
    names = [each.get("_model_name") for each in _shown(states, root)]
    passive = (*_BARS, *_TEXTS, *_AROUND)
    return any(name in _BARS for name in names) and all(name in passive for name in names)


def is_over(states: Mapping[str, JsonDict], root: str) -> bool:
    """Whether a widget is nothing but progress, and that is over."""
    bars = [each for each in _shown(states, root) if each.get("_model_name") in _BARS]
    return is_progress(states, root) and all(map(_has_ended, bars))


def _has_ended(bar: JsonDict) -> bool:
    if bar.get("bar_style") in ("success", "danger"):  # (what tqdm leaves)
        return True
    value, most = bar.get("value"), bar.get("max")
    return isinstance(value, int | float) and isinstance(most, int | float) and value >= most


def text_of(states: Mapping[str, JsonDict], root: str) -> str:
    """A widget that only shows something, as a line: ``100%|##########| 20/20 [00:02<00:00]``."""
    parts = [_part(each) for each in _shown(states, root) if not _is_hidden(states, each)]
    return "".join(parts).strip()


def _part(widget: JsonDict) -> str:
    name = widget.get("_model_name")
    described = _plain(widget.get("description"))
    if name in _BARS:
        return f"{described}{_bar(widget)}"
    if name in _TEXTS:
        value = _plain(widget.get("value"))
        return f"{described} {value}" if described else value
    return ""


def _bar(widget: JsonDict) -> str:
    least, value, most = (widget.get(key, 0) for key in ("min", "value", "max"))
    if not all(isinstance(each, int | float) for each in (least, value, most)) or most <= least:
        return "|" + " " * _WIDTH + "|"
    filled = round(_WIDTH * (min(max(value, least), most) - least) / (most - least))
    return f"|{'█' * filled}{' ' * (_WIDTH - filled)}|"


def _plain(text: Any) -> str:
    """The text of HTML, or of anything else."""
    if not isinstance(text, str):
        return ""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", text)))


def _is_hidden(states: Mapping[str, JsonDict], widget: JsonDict) -> bool:
    layouts = [states.get(each, {}) for each in references(widget.get("layout"))]
    return any(
        each.get("display") == "none" or each.get("visibility") == "hidden" for each in layouts
    )


def _shown(states: Mapping[str, JsonDict], root: str) -> list[JsonDict]:
    """A widget and its children, in the order in which they are seen."""
    found: list[JsonDict] = []
    seen: set[str] = set()

    def walk(comm_id: str) -> None:
        if comm_id in seen:
            return
        seen.add(comm_id)
        widget = states.get(comm_id)
        if widget is None:
            return
        found.append(widget)
        for child in references(widget.get("children")):
            walk(child)

    walk(root)
    return found


def lines_of(texts: Mapping[int, list[str]]) -> list[str]:
    """The texts of engines, each behind its engines: ``[0-3] IntSlider(value=5)``."""
    if not texts:
        return []
    lines: list[str] = []
    for place in range(max(map(len, texts.values()))):
        by_text: dict[str, list[int]] = {}
        for engine, each in sorted(texts.items()):
            if place < len(each):
                by_text.setdefault(each[place], []).append(engine)
        lines += [f"[{format_ids(ids)}] {text}" for text, ids in by_text.items()]
    return lines
