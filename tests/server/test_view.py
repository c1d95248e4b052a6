"""What one page has seen, and what is new to it."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.server.board import Board
from kernelfleet.server.spans import SpanLog
from kernelfleet.server.view import View, view_of
from tests.server.test_board import head, row
from tests.server.test_spans import answer, span


def board() -> Board:
    made = Board()
    made.put(head("a"), [row(0)])
    made.put(head("b"), [row(0)])
    return made


def test_a_page_sees_everything_and_then_nothing() -> None:
    view, known = View(), board()
    first = view.update(known, {}, 1.0)
    assert first is not None
    assert [change["name"] for change in first["fleets"]] == ["a", "b"]
    assert view.update(known, {}, 2.0) is None


def test_a_page_that_looks_at_fleets_has_no_rows() -> None:
    view, known = View(engines=False), board()
    first = view.update(known, {}, 1.0)
    assert first is not None
    assert not [change for change in first["fleets"] if "engines" in change]
    known.put(head("a"), [row(0, "busy")])
    assert view.update(known, {}, 2.0) is None
    known.put(head("a", state="unreachable"), [row(0, "busy")])
    assert view.update(known, {}, 3.0) is not None


def test_the_timeline_of_the_fleets_asked_for_is_told_once() -> None:
    view, known = View(timeline=frozenset({"b"})), board()
    log = SpanLog()
    log.take(answer(span(1), running=[span(0)]))
    first = view.update(known, {"a": log, "b": log}, 1.0)
    assert first is not None
    a, b = first["fleets"]
    assert "spans" not in a
    assert (b["spans"], b["running"]) == ([span(1)], [span(0)])
    assert view.update(known, {"a": log, "b": log}, 2.0) is None
    log.take(answer(span(2)))
    later = view.update(known, {"a": log, "b": log}, 3.0)
    assert later is not None
    assert later["fleets"] == [{"name": "b", "spans": [span(2)], "running": []}]


def test_a_log_that_is_another_is_told_from_its_beginning() -> None:
    view, known = View(timeline=True), board()
    for number in (1, 2):
        log = SpanLog()
        log.take(answer(span(number)))
        told = view.update(known, {"a": log}, 1.0)
        assert told is not None
        assert told["fleets"][0]["spans"] == [span(number)]


@pytest.mark.parametrize(
    "message",
    [
        None, [], {}, {"type": "look"}, {"type": "x", "at": "engines"},
        {"type": "look", "at": ["engines"]}, {"type": "look", "at": "engines", "timeline": 4},
        {"type": "look", "at": "engines", "timeline": [4]},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(message: Any) -> None:
    with pytest.raises(ValueError, match=r"look|page|timeline"):
        view_of(message)


def test_a_page_says_what_it_shows() -> None:
    assert view_of({"type": "look", "at": "nothing"}) is None
    view = view_of({"type": "look", "at": "engines", "timeline": ["a"]})
    assert view is not None
    assert (view.wants_timeline("a"), view.wants_timeline("b")) == (True, False)
    everything = view_of({"type": "look", "at": "fleets", "timeline": True})
    assert everything is not None
    assert everything.wants_timeline("b")
