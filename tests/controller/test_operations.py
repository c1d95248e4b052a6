"""operations.py: what never waits behind work. With simulated ends."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.controller import operations
from tests.controller.asking import Asker, refusal, with_clients
from tests.controller.simulated import Fleet
from tests.fleets import until

# Engine 1 answers when it is released, engine 2 is dead, engine 3 runs plain Python.


def values(answer: dict[str, Any]) -> list[Any]:
    return [each["value"] for each in answer["results"]]


def test_what_waits_is_told_by_label_and_by_the_id_under_which_it_is_found() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        me.execute(1, result_id="runs", label="execute('1')")
        me.execute(1, result_id="waits", label="execute('2')")
        me.request("map", targets=[1], result_id="of a map", label="map(f)")
        told = values(me.at_once("queue_status", targets=[0, 1]))
        assert told[0] == [0, {"queue": [], "pending": None}, {"queue": [], "pending": None}]
        assert told[1][1] == {"queue": ["execute('2')", "map(f)"], "pending": "execute('1')"}
        assert told[1][2] == {"queue": ["waits", None], "pending": "runs"}
        await fleet.settle()

    with_clients(test)


def test_what_comes_while_the_fleet_ends_is_told_so_and_not_that_an_engine_is_missing() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        await fleet.controller.stop()
        for n in (me.execute(1), me.request("interrupt", targets=[1])):
            await until(lambda n=n: n in me.headers)  # type: ignore[misc]
            assert refusal(me.headers[n]) == "FleetStopped: the fleet was stopped"

    with_clients(test)


def test_clearing_a_queue_takes_what_waits_whoever_queued_it_and_leaves_what_runs() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        running = me.execute(1, result_id="runs")
        waiting = me.execute(1, result_id="waits")
        you.at_once("clear_queue", targets=[1])
        assert me.errors(waiting) == ["QueueCleared"]
        assert running not in me.headers
        await fleet.settle()
        assert me.errors(running) == [None]

    with_clients(test)


@pytest.mark.parametrize("interrupt", [False, True])
def test_a_cancelled_request_leaves_the_queues_and_is_interrupted_only_if_asked(
    interrupt: bool,
) -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        n = me.execute(1, 1, result_id="r")  # the first runs, the second waits
        behind = me.execute(1, result_id="behind")
        asked = me.request("cancel", result_id="r", interrupt=interrupt)
        await until(lambda: asked in me.headers)
        told = me.headers[asked]["value"]
        assert told == {"dropped": [1], "interrupted": [1] if interrupt else []}
        assert (n in me.headers) is interrupt
        await fleet.settle()
        assert me.errors(n) == [None, "Cancelled"]
        assert me.errors(behind) == [None]
        assert len(fleet.controller.running) == 0

    with_clients(test)


def test_cancelling_what_has_ended_or_never_was_does_nothing() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        n = me.request("cancel", result_id="nothing", interrupt=True)
        await fleet.settle(lambda: n in me.headers)
        assert me.headers[n]["value"] == {"dropped": [], "interrupted": []}

    with_clients(test)


def test_properties_are_set_found_and_removed_by_engine() -> None:
    async def test(_fleet: Fleet, me: Asker, you: Asker) -> None:
        me.at_once("set_properties", targets=[0, 1], values={"gpu": 1, "node": "a"})
        assert values(you.at_once("get_properties", targets=[0, 3])) == [
            {"gpu": 1, "node": "a"},
            {},
        ]
        assert values(you.at_once("get_properties", targets=[0], keys=["gpu"])) == [{"gpu": 1}]
        has = you.at_once("has_properties", targets=[0, 3], keys=["gpu", "x"])
        assert values(has) == [[True, False], [False, False]]
        missing = you.at_once("del_properties", targets=[0, 3], keys=["gpu"])["results"]
        assert [each["ok"] for each in missing] == [True, False]
        assert missing[1]["error"]["evalue"] == "engine 3 has no property 'gpu'"
        # what is missing one key loses none
        you.at_once("del_properties", targets=[1], keys=["gpu", "x"])
        assert values(me.at_once("get_properties", targets=[0, 1])) == [
            {"node": "a"},
            {"gpu": 1, "node": "a"},
        ]
        me.at_once("clear_properties", targets=[1])
        assert values(me.at_once("get_properties", targets=[1])) == [{}]

    with_clients(test)


def test_a_command_is_told_from_the_history_and_what_is_not_there_is_an_index_error() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        me.execute(0)
        await fleet.settle()
        first, second = me.at_once("get_result", targets=[0, 1], number=None)["results"]
        assert (first["ok"], first["value"]["code"]) == (True, "1")
        assert first["outputs"] > 0
        assert second["error"]["ename"] == "IndexError"
        assert second["error"]["evalue"] == "no command has finished on this engine yet"

    with_clients(test)


@pytest.mark.parametrize("engines", [0, -1, True, "4", 2.0, operations.MAX_ENGINES + 1])
def test_a_fleet_of_an_impossible_size_is_refused(engines: Any) -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        n = me.request("scale", engines=engines)
        await fleet.settle(lambda: n in me.headers)
        assert refusal(me.headers[n]).startswith("ValueError: a fleet has 1 to 4096 engines, not")

    with_clients(test)


def test_only_a_living_or_a_dead_engine_can_be_restarted() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        n = me.request("restart", targets=[2, 0, 2])
        await fleet.settle(lambda: n in me.headers)
        assert [each["id"] for each in me.headers[n]["results"]] == [2, 0, 2]
        n = me.request("restart", targets=[0, 7])
        await fleet.settle(lambda: n in me.headers)
        assert "no engine 7 that could be restarted" in refusal(me.headers[n])

    with_clients(test)


def test_a_busy_engine_is_not_asked_to_complete() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        me.execute(1)
        n = me.request("complete", engine=1, code="x", cursor_pos=1)
        await until(lambda: n in me.headers)
        assert me.headers[n]["value"] is None
        await fleet.settle()
        n = me.request("complete", engine=0, code="x", cursor_pos=1)
        await fleet.settle(lambda: n in me.headers)
        assert me.headers[n]["value"]["status"] == "ok"

    with_clients(test)


def test_what_is_typed_reaches_only_the_request_that_runs() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        me.execute(1, result_id="asks")
        typed = {"engine": 1, "value": "yes"}
        assert me.at_once("input_reply", result_id="asks", **typed)["value"] is True
        assert me.at_once("input_reply", result_id="another", **typed)["value"] is False
        await fleet.settle()
        assert me.at_once("input_reply", result_id="asks", **typed)["value"] is False

    with_clients(test)


def test_only_our_own_kernels_are_peeked_into() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        n = me.request("peek", targets=[0, 3], names=["x"])
        await fleet.settle(lambda: n in me.headers)
        assert refusal(me.headers[n]).startswith("UnsupportedOperation: engine 3 runs the kernel")
        n = me.request("peek", targets=[0, 0], names=["x"])
        await fleet.settle(lambda: n in me.headers)
        assert me.errors(n) == [None, None]

    with_clients(test)


def test_an_engine_that_does_not_answer_in_time_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(operations, "PEEK_SECONDS", 0.02)

    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        fleet.registry.channels[1].tamper = lambda _channel, _frames: []
        n = me.request("peek", targets=[0, 1], names=["x"])
        await until(lambda: n in me.headers)
        assert me.errors(n) == [None, "TimeoutError"]

    with_clients(test)
