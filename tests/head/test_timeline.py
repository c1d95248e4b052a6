"""timeline.py of the head: spans of all nodes, in one order and by one clock."""

from __future__ import annotations

from typing import Any

from kernelfleet import MultiEngineClient
from kernelfleet.head.timeline import by_our_clock, in_order


def row(started: float, seconds: float, **fields: Any) -> Any:
    return {"number": 1, "started": started, "seconds": seconds, **fields}


def test_spans_are_numbered_in_the_order_in_which_they_ended() -> None:
    rows = in_order([row(5, 1, engine=0), row(1, 2, engine=1), row(2, 9, engine=2)])
    assert [(each["number"], each["engine"]) for each in rows] == [(1, 1), (2, 0), (3, 2)]


def test_a_clock_that_is_behind_is_put_right() -> None:
    assert by_our_clock([row(5.0, 1)], 2.5) == [row(7.5, 1)]


def test_the_timeline_has_the_work_of_engines_of_all_nodes(mec: MultiEngineClient) -> None:
    pending = mec.execute("a = 5", block=False)
    pending.result()
    spans = pending.timeline()
    assert sorted(span.engine for span in spans) == [0, 1, 2, 3]
    assert {(span.what, span.outcome) for span in spans} == {("execute('a = 5')", "ok")}
    assert len(mec.timeline()) >= 4
