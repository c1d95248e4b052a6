"""as_text.py: what is over is text, and what can be touched stays."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.notebook.widgets.as_text import is_over, is_progress, lines_of, text_of


def widget(name: str, **values: Any) -> dict[str, Any]:
    return {"_model_name": f"{name}Model", **values}


def tqdm(value: float, style: str = "") -> dict[str, Any]:
    """What tqdm.notebook shows."""
    children = [f"IPY_MODEL_{each}" for each in ("left", "bar", "right")]
    return {
        "box": widget("HBox", children=children, layout="IPY_MODEL_layout"),
        "left": widget("HTML", value=f"{value * 5:.0f}%", description=""),
        "bar": widget("FloatProgress", value=value, max=20.0, min=0.0, bar_style=style),
        "right": widget("HTML", value=f"&nbsp;{value:.0f}/20&nbsp;[00:02&lt;00:00,&nbsp;9.77it/s]"),
        "layout": widget("Layout", display=None),
    }


def test_a_bar_that_is_over_is_the_line_that_tqdm_would_print() -> None:
    states = tqdm(20.0, "success")
    assert is_progress(states, "box")
    assert is_over(states, "box")
    assert text_of(states, "box") == "100%|██████████| 20/20 [00:02<00:00, 9.77it/s]"
    half = tqdm(10.0, "danger")
    assert is_over(half, "box")
    assert text_of(half, "box") == "50%|█████     | 10/20 [00:02<00:00, 9.77it/s]"


def test_a_bar_that_goes_on_is_not_over() -> None:
    assert is_progress(tqdm(10.0), "box")
    assert not is_over(tqdm(10.0), "box")
    assert is_over({"b": widget("IntProgress", value=5, max=5)}, "b")
    assert not is_over({"b": widget("IntProgress", value="?", max=5)}, "b")


@pytest.mark.parametrize("other", ["IntSlider", "Button", "Output", "MPLCanvas"])
def test_what_can_be_touched_or_goes_on_stays(other: str) -> None:
    states = tqdm(20.0, "success")
    states["all"] = widget("VBox", children=["IPY_MODEL_box", "IPY_MODEL_x"])
    states["x"] = widget(other)
    assert not is_progress(states, "all")
    assert not is_over(states, "all")


def test_a_text_alone_is_no_progress() -> None:
    assert not is_over({"l": widget("Label", value="x")}, "l")
    assert not is_over({}, "l")


def test_broken_widgets_have_a_text() -> None:
    bar = {"b": widget("IntProgress", value=None, max="x", description="<b>d</b>")}
    assert text_of(bar, "b") == "d|          |"
    circle = {"a": widget("VBox", children=["IPY_MODEL_a", "IPY_MODEL_b"])}
    assert text_of(circle, "a") == ""
    hidden = tqdm(20.0, "success")
    hidden["layout"]["display"] = "none"
    for each in ("left", "bar", "right"):
        hidden[each]["layout"] = "IPY_MODEL_layout"
    assert text_of(hidden, "box") == ""
    label = {"l": widget("Label", description="done:", value=" 5 < 6 ")}
    assert text_of(label, "l") == "done:  5 < 6"


def test_equal_texts_of_engines_stand_once() -> None:
    assert lines_of({0: ["a", "b"], 2: ["a"], 1: ["c", "b"]}) == ["[0,2] a", "[1] c", "[0-1] b"]
    assert lines_of({}) == []
