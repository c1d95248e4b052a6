"""The recent work of a fleet's engines, for the pages that show its timeline."""

from __future__ import annotations

from typing import Any

from kernelfleet.server import spans as module
from kernelfleet.server.spans import MOST_AT_ONCE, PAST_SECONDS, SpanLog


def span(number: int, engine: int = 0, started: float = 100.0, seconds: float = 1.0) -> Any:
    return {
        "number": number, "engine": engine, "call": f"c{number}", "what": "x",
        "operation": "execute", "started": started, "seconds": seconds, "waited": 0.0,
        "outcome": "ok", "error": "",
    }  # fmt: skip


def answer(*ended: Any, running: list[Any] | None = None, now: float = 110.0, **facts: Any) -> Any:
    mark = max((each["number"] for each in ended), default=0)
    known = {"instance": "a", "mark": mark, "more": False, "now": now, "engines": [0]}
    return {**known, "spans": list(ended), "running": running or [], **facts}


def test_a_page_gets_what_is_new_to_it() -> None:
    log = SpanLog()
    assert not log.take(answer(span(1), span(2)))
    assert log.since(0) == [span(1), span(2)]
    seen = log.version
    assert log.since(seen) == []
    log.take(answer(span(3), mark=3))
    assert log.since(seen) == [span(3)]
    assert log.mark == 3


def test_what_runs_is_news_when_it_changes_and_not_by_growing_older() -> None:
    log = SpanLog()
    log.take(answer(running=[span(0, seconds=1.0)]))
    seen = log.version
    log.take(answer(running=[span(0, seconds=2.0)]))
    assert log.version == seen
    assert log.running[0]["seconds"] == 2.0
    log.take(answer(running=[]))
    assert log.version > seen


def test_another_controller_is_asked_from_its_beginning() -> None:
    log = SpanLog()
    log.take(answer(span(7)))
    assert log.take(answer(span(9), instance="b"))
    assert log.mark == 0
    assert not log.take(answer(span(1), instance="b"))
    assert [each["number"] for each in log.since(1)] == [1]


def test_the_past_is_forgotten() -> None:
    log = SpanLog()
    log.take(answer(span(1, started=0.0), span(2, started=100.0), now=110.0))
    log.take(answer(now=100.0 + PAST_SECONDS + 2))
    assert log.since(0) == []


def test_of_very_many_the_longest_are_told() -> None:
    log = SpanLog()
    many = [span(number, seconds=number / 1000) for number in range(1, MOST_AT_ONCE + 501)]
    log.take(answer(*many))
    assert log.since(0) == many[500:]


def test_so_many_are_kept_and_no_more(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "KEPT", 10)
    log = SpanLog()
    log.take(answer(*(span(number) for number in range(1, 31))))
    assert [each["number"] for each in log.since(0)] == list(range(21, 31))
