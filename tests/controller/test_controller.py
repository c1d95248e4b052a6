"""controller.py: what becomes of a request, whoever goes meanwhile. With simulated ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kernelfleet.controller.limits import Limits
from tests.controller.asking import Asker, refusal, with_clients
from tests.controller.simulated import Fleet
from tests.fleets import until

# Engine 1 answers when it is released, engine 2 is dead, engine 4 is a kernel of bash.


def test_a_request_is_answered_once_when_its_last_target_has_ended() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        n = me.execute(0, 1, 0)
        await until(lambda: fleet.controller.running["r"].remaining == 1)
        assert n not in me.headers
        assert fleet.controller.running["r"].remaining == 1
        await fleet.settle()
        assert [each["id"] for each in me.headers[n]["results"]] == [0, 1, 0]
        assert me.errors(n) == [None] * 3
        assert me.replies[n] == 1
        assert not fleet.controller.running

    with_clients(test)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"targets": [0, 7]}, "InvalidEngineID: no engine 7; there are [0, 1, 3, 4]"),
        ({"targets": [2]}, "InvalidEngineID: engine 2 killed by signal 9; mec.restart(2)"),
        ({"targets": "all"}, "FleetError: malformed request: targets must be"),
        ({"targets": [4], "operation": "push"}, "UnsupportedOperation: engine 4 runs"),
        ({"targets": [0], "operation": "fly"}, "UnsupportedOperation: "),
    ],
)
def test_a_request_that_cannot_be_taken_is_answered_with_the_reason_and_changes_nothing(
    fields: dict[str, Any], reason: str
) -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        given = {"result_id": "r", "content": {"code": "1"}, **fields}
        answer = me.at_once(given.pop("operation", "execute"), **given)
        assert refusal(answer).startswith(reason)
        assert not fleet.controller.running
        assert all(engine.run is None for engine in fleet.registry.engines.values())

    with_clients(test)


def test_a_result_id_is_one_requests_as_long_as_it_runs() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        me.execute(1)
        assert "the result id 'r' is in use" in refusal(you.headers[you.execute(0)])
        await fleet.settle()
        n = you.execute(0)
        await fleet.settle()
        assert you.errors(n) == [None]

    with_clients(test)


def test_a_full_queue_takes_nothing_on_any_engine() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        me.execute(1, result_id="runs")
        me.execute(1, 1, result_id="waits")
        answer = me.headers[me.execute(0, 1, result_id="too much")]
        assert refusal(answer).startswith("QueueFull: 2 requests wait for engine 1")
        assert fleet.registry.engines[0].run is None
        await fleet.settle()

    with_clients(test, Limits(queue_length=2))


def test_work_goes_on_when_its_client_leaves_and_another_client_gets_the_result() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        me.execute(1)
        me.leave()
        n = you.request("attach", of="r")
        await fleet.settle(lambda: n in you.headers)
        assert you.errors(n) == [None]
        assert you.headers[n]["result_id"] == "r"

    with_clients(test)


@pytest.mark.parametrize("operation", ["map", "task"])
def test_maps_and_tasks_end_with_their_client_and_nobody_else_can_ask_for_them(
    operation: str,
) -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        for result_id in ("runs", "waits"):
            me.request(operation, targets=[1], result_id=result_id, keep=False)
        refused = refusal(you.at_once("attach", of="runs"))
        assert refused.startswith("InvalidDeferredID: 'runs' is part of a map or a task")
        me.leave()
        await fleet.settle()
        assert not fleet.controller.running
        assert fleet.controller.results.get("runs") is None

    with_clients(test)


def test_an_unknown_result_id_is_told_at_once() -> None:
    async def test(_fleet: Fleet, me: Asker, _you: Asker) -> None:
        assert refusal(me.at_once("attach", of="x")).startswith("InvalidDeferredID: no result 'x'")

    with_clients(test)


def test_who_asks_for_a_result_that_is_there_has_it_at_once_and_as_often_as_asked() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        n = me.execute(0)
        await fleet.settle()
        for _ in range(2):
            again = you.at_once("attach", of="r")
            assert again["results"] == me.headers[n]["results"]

    with_clients(test)


def test_what_its_client_holds_is_kept_and_what_it_lets_go_may_be_dropped() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        for result_id in ("a", "b", "c"):
            me.execute(0, result_id=result_id)
        await fleet.settle()
        assert "results" in you.at_once("attach", of="a")  # held, though only one is to be kept
        you.leave()
        me.request("ping", release=["a"])
        assert fleet.controller.results.get("a") is None
        assert fleet.controller.results.get("b") is not None

    with_clients(test, Limits(result_count=1))


def test_an_error_clears_what_the_same_client_had_queued_and_a_reset_what_anybody_had() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        me.execute(1, result_id="runs")
        mine = me.execute(1, result_id="mine")
        yours = you.execute(1, result_id="yours")
        me.request("reset", targets=[1], result_id="reset")
        await asyncio.sleep(0)
        assert me.errors(mine) == ["QueueCleared"]
        assert you.errors(yours) == ["QueueCleared"]
        await fleet.settle()

    with_clients(test)


def test_a_finished_command_is_found_by_its_number_until_a_reset() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        me.execute(0)
        await fleet.settle()
        found = you.at_once("get_result", targets=[0], number=1)["results"][0]
        assert (found["ok"], found["value"]["code"], found["value"]["number"]) == (True, "1", 1)
        me.request("reset", targets=[0], result_id="reset")
        await fleet.settle()
        gone = you.at_once("get_result", targets=[0], number=1)["results"][0]
        assert gone["error"]["ename"] == "IndexError"

    with_clients(test)


def test_output_is_streamed_to_who_asked_for_it_and_to_who_attaches() -> None:
    async def test(fleet: Fleet, me: Asker, you: Asker) -> None:
        heard: list[tuple[str, Any]] = []
        for client in (me, you):
            usual = client.hear

            def hear(frames: list[bytes], client: Asker = client, usual: Any = usual) -> None:
                header, _ = client._hears.decode(frames)
                if header.get("event") == "output":
                    heard.append((client.name, header["engine"]))
                usual(frames)

            client.hear = hear  # type: ignore[method-assign]
        me.execute(0, result_id="quiet")
        await fleet.settle()
        assert heard == []
        me.execute(1, result_id="loud", stream=True)
        you.request("attach", of="loud", stream=True)
        await fleet.settle()
        assert set(heard) == {(me.name, 1), (you.name, 1)}

    with_clients(test)


def test_a_new_engine_of_an_old_id_has_no_history() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        me.execute(0)
        await fleet.settle()
        assert fleet.controller.commands
        del fleet.registry.engines[0]
        fleet.controller.engines_changed()
        assert not fleet.controller.commands

    with_clients(test)
