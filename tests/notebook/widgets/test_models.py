"""models.py: what is sent by hand is what ipywidgets would send."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.notebook.widgets import models

widgets = pytest.importorskip("ipywidgets")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (models.box("l", ["a"]), widgets.VBox),
        (models.tabs("l"), widgets.Tab),
        (models.output("l"), widgets.Output),
        (models.text("l", ["x"]), widgets.HTML),
        (models.layout(), widgets.Layout),
    ],
    ids=["box", "tabs", "output", "text", "layout"],
)
def test_the_names_and_versions_are_those_of_ipywidgets(ours: Any, theirs: Any) -> None:
    theirs = theirs().get_state()
    assert ours.keys() <= theirs.keys()
    named = [key for key in ours if key.startswith(("_model", "_view_"))]
    assert {key: ours[key] for key in named} == {key: theirs[key] for key in named}


def test_lines_are_escaped() -> None:
    assert models.as_html(["a < b", "<script>"]) == "<pre>a &lt; b\n&lt;script&gt;</pre>"
