"""output_widgets.py: the frontend is told soon, the engine when it is quiet."""

from __future__ import annotations

import json

import pytest

from kernelfleet.notebook.widgets.output_widgets import (
    OUTPUT_SECONDS,
    QUIET_SECONDS,
    OutputWidgets,
)
from kernelfleet.wire.outputs import to_pages

PAGES = to_pages("stream", json.dumps({"name": "stdout", "text": "x"}).encode())


def test_a_flood_is_shown_some_times_a_second_and_told_the_engine_once() -> None:
    widgets = OutputWidgets()
    widgets.open("o")
    shown, told = [], []
    for step in range(1000):
        now = step / 1000
        widgets.add("o", PAGES, now)
        shown += list(widgets.for_frontend(now).values())
        told += list(widgets.for_engines(now).values())
    assert 5 <= len(shown) <= 1 / OUTPUT_SECONDS + 1
    assert told == []
    end = 1 + QUIET_SECONDS
    assert widgets.for_frontend(end)["o"][0]["text"] == "x" * 1000
    assert widgets.for_engines(end)["o"][0]["text"] == "x" * 1000
    assert widgets.due is None
    assert widgets.for_engines(end) == {}


def test_what_is_long_is_shown_less_often() -> None:
    widgets = OutputWidgets()
    widgets.open("o", [{"output_type": "stream", "name": "stdout", "text": "x" * 20_000_000}])
    widgets.add("o", PAGES, 0.0)
    assert widgets.for_frontend(5.0) == {}
    assert len(widgets.for_frontend(20.0)["o"]) == 2


def test_what_is_due_first_is_known() -> None:
    widgets = OutputWidgets()
    widgets.open("o")
    assert widgets.due is None
    widgets.add("o", PAGES, 10.0)
    assert widgets.due == pytest.approx(10 + OUTPUT_SECONDS, abs=0.001)
    widgets.for_frontend(11.0)
    assert widgets.due == pytest.approx(10 + QUIET_SECONDS)


def test_a_widget_of_the_bridge_is_no_engines_business() -> None:
    widgets = OutputWidgets()
    widgets.open_own("o")
    widgets.add_one("o", "stream", {"name": "stdout", "text": "x"}, 0.0)
    assert widgets.for_engines(100.0) == {}
    assert len(widgets.for_frontend(100.0)["o"]) == 1


def test_what_a_program_sets_takes_the_place_of_what_was_there() -> None:
    widgets = OutputWidgets()
    widgets.open("o")
    widgets.add("o", PAGES, 0.0)
    set_by_program = [{"output_type": "stream", "name": "stdout", "text": "set"}]
    widgets.open("o", set_by_program)
    assert widgets.for_frontend(100.0) == {}  # it was told by the program itself
    assert widgets.for_engines(100.0) == {"o": set_by_program}


def test_a_closed_widget_is_forgotten() -> None:
    widgets = OutputWidgets()
    widgets.open("o")
    widgets.add("o", PAGES, 0.0)
    widgets.close("o")
    widgets.add("o", PAGES, 0.0)
    assert "o" not in widgets
    assert widgets.due is None
