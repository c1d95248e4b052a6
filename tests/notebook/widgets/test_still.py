"""still.py: where nobody follows a bar, its last state is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelfleet.notebook.widgets.still import model_of, with_progress
from kernelfleet.wire.messages.comms import WIDGET_VIEW

BAR = {"_model_name": "IntProgressModel", "value": 5, "max": 5, "min": 0, "description": "all"}


def view(model: Any, text: str = "0%") -> dict[str, Any]:
    data = {WIDGET_VIEW: {"model_id": model}, "text/plain": text}
    return {"output_type": "display_data", "data": data, "metadata": {}}


PRINTED = {"output_type": "stream", "name": "stdout", "text": "x"}


def test_a_bar_is_the_line_of_its_last_state_and_a_slider_is_left_as_it_is() -> None:
    asked: list[Sequence[tuple[int, str]]] = []

    def ask(views: Sequence[tuple[int, str]]) -> dict[int, dict[str, Any]]:
        asked.append(views)
        return {0: {"bar": BAR}, 1: {"s": {"_model_name": "IntSliderModel"}}}

    shown = with_progress([(0, [PRINTED, view("bar")]), (1, [view("s"), view("gone")])], ask)
    assert asked == [[(0, "bar"), (1, "s"), (1, "gone")]]
    assert shown == [
        (0, [PRINTED, {**view("bar"), "data": {"text/plain": "all|██████████|"}}]),
        (1, [view("s"), view("gone")]),
    ]


def test_nobody_is_asked_where_there_are_no_widgets() -> None:
    def ask(_views: object) -> Any:
        raise AssertionError

    assert with_progress([(0, [PRINTED])], ask) == [(0, [PRINTED])]
    assert model_of(view(7)) is None
    assert model_of({"output_type": "display_data"}) is None
