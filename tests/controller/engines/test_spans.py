"""What is kept of the work of engines: how much, in which order, and how it is asked for."""

from __future__ import annotations

import asyncio
from typing import Any

from kernelfleet.controller.engines import spans
from kernelfleet.controller.engines.spans import MAX_LABEL, Timeline
from kernelfleet.controller.engines.state import EngineState
from kernelfleet.controller.limits import make_limits
from kernelfleet.controller.requests import Request
from kernelfleet.wire.operations import OPERATIONS
from tests.controller.asking import Asker, with_clients
from tests.controller.simulated import Fleet
from tests.fleets import until

# Engine 1 answers when it is released; all say that they took from second 1 to second 2.


def request(call: str = "c", label: str = "f", asked: float = 0.0) -> Request:
    return Request(
        "me", "r", OPERATIONS["execute"], [0], {}, label, [], [0], lambda _: None, call=call,
        asked=asked,
    )  # fmt: skip


def add(kept: Timeline, engine: int, call: str = "c", **result: Any) -> None:
    kept.add(engine, request(call), 10.0, 12.5, {"ok": True, **result})


def numbers(kept: Timeline, since: int = 0, **asked: Any) -> list[int]:
    return [span.number for span in kept.since(since, **asked)[0]]


def test_each_engine_keeps_its_last_spans() -> None:
    kept = Timeline(3)
    for engine in (0, 1, 0, 0, 0, 0):
        add(kept, engine)
    assert [(span.number, span.engine) for span in kept.since(0)[0]] == [
        (2, 1), (4, 0), (5, 0), (6, 0),
    ]  # fmt: skip


def test_who_has_seen_some_is_told_the_later_ones_only() -> None:
    kept = Timeline(10)
    for engine in (0, 1, 0):
        add(kept, engine)
    found, mark, more = kept.since(0)
    assert ([span.number for span in found], mark, more) == ([1, 2, 3], 3, False)
    assert kept.since(3) == ([], 3, False)
    add(kept, 1)
    assert numbers(kept, 3) == [4]
    assert numbers(kept, 99) == []


def test_a_long_history_is_told_in_parts_and_nothing_is_told_twice() -> None:
    kept = Timeline(100)
    for number in range(25):
        add(kept, number % 3)
    told, mark, more = [], 0, True
    while more:
        found, mark, more = kept.since(mark, most=10)
        assert len(found) <= 10
        told += [span.number for span in found]
    assert told == list(range(1, 26))


def test_the_spans_of_one_call_can_be_asked_for() -> None:
    kept = Timeline(10)
    for call in "aba":
        add(kept, 0, call)
    assert numbers(kept, call="a") == [1, 3]
    assert kept.since(0, "a", most=1)[1:] == (1, True)
    assert kept.since(0, "none")[1:] == (3, False)


def test_many_engines_keep_less_each(monkeypatch: Any) -> None:
    monkeypatch.setattr(spans, "MAX_SPANS", 40)
    monkeypatch.setattr(spans, "MIN_PER_ENGINE", 3)
    kept = Timeline(30)
    for _ in range(30):
        add(kept, 0)
    for engine in range(1, 20):
        add(kept, engine)
    assert len([span for span in kept.since(0)[0] if span.engine == 0]) == 3


def test_the_engine_says_how_long_it_took_and_the_controller_when_it_began() -> None:
    kept = Timeline(10)
    add(kept, 0, started=1000.0, completed=1002.0)
    add(kept, 0)
    add(kept, 0, started=1000.0, completed=1900.0)  # longer than it was away: a clock was set
    add(kept, 0, started=1000.0, completed=900.0)
    assert [(span.started, span.seconds) for span in kept.since(0)[0]] == [
        (10.0, 2.0), (10.0, 2.5), (10.0, 2.5), (10.0, 2.5),
    ]  # fmt: skip


def test_a_clock_that_was_set_back_makes_no_negative_times() -> None:
    kept = Timeline(10)
    kept.add(0, request(asked=99.0), 10.0, 5.0, {"ok": True})
    (span,) = kept.since(0)[0]
    assert (span.seconds, span.waited) == (0.0, 0.0)


def test_a_span_tells_how_it_ended_and_how_long_it_waited() -> None:
    kept = Timeline(10)
    for error in ({"ename": "ValueError"}, {"ename": "KeyboardInterrupt"}, None):
        result = {"ok": error is None, "error": error}
        kept.add(0, request(asked=9.5), 10.0, 12.5, result)
    died = {"ename": "EngineDied", "kind": "engine"}
    kept.add(0, request(asked=9.5), 10.0, 12.5, {"ok": False, "error": died})
    told = [(span.outcome, span.error, span.waited) for span in kept.since(0)[0]]
    assert told == [
        ("error", "ValueError", 0.5), ("interrupted", "KeyboardInterrupt", 0.5), ("ok", "", 0.5),
        ("lost", "EngineDied", 0.5),
    ]  # fmt: skip


def test_a_label_of_any_length_takes_little_room() -> None:
    kept = Timeline(10)
    kept.add(0, request(label="x" * 10_000), 0.0, 1.0, {"ok": True})
    assert len(kept.since(0)[0][0].what) == MAX_LABEL


def test_what_runs_is_told_as_well_while_its_engine_is_busy() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        me.execute(0, 1, result_id="a", label="execute('1')")
        me.request("map", targets=[1], result_id="b", label="map(f) x3", call="the map")
        await until(lambda: fleet.controller.running["a"].remaining == 1)
        told = you.at_once("timeline")["value"]
        (done,), (runs,) = told["spans"], told["running"]
        assert (done["engine"], done["call"], done["what"]) == (0, "a", "execute('1')")
        assert (done["operation"], done["outcome"]) == ("execute", "ok")
        assert (runs["engine"], runs["call"], runs["outcome"]) == (1, "a", "running")
        assert runs["started"] <= told["now"]
        assert told["engines"] == [0, 1, 2, 3, 4]
        await fleet.settle()
        later = you.at_once("timeline", since=told["mark"])["value"]
        assert [span["call"] for span in later["spans"]] == ["a", "the map"]
        assert later["running"] == []
        assert you.at_once("timeline", call="the map")["value"]["spans"] == later["spans"][1:]

    with_clients(test)


def test_work_that_ended_with_its_engine_is_told_as_lost() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        n = me.execute(1, result_id="a")
        await asyncio.sleep(0)
        fleet.registry.engines[1].detach(EngineState.DEAD, "EngineDied", "killed by signal 9")
        assert me.errors(n) == ["EngineDied"]
        (span,) = me.at_once("timeline")["value"]["spans"]
        assert (span["call"], span["outcome"], span["error"]) == ("a", "lost", "EngineDied")

    with_clients(test)


def test_a_fleet_may_keep_less() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        for number in range(5):
            me.execute(0, result_id=str(number))
        await fleet.settle()
        assert [s["call"] for s in me.at_once("timeline")["value"]["spans"]] == ["3", "4"]

    with_clients(test, make_limits({"span_count": 2}))
