"""engine.py: one engine's work in order, and what its end and its errors take along.

Simulated kernels answer; engine 1 of ``Fleet`` when it is released.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kernelfleet.controller.engines.engine import NOT_READY, Engine
from kernelfleet.controller.engines.state import EngineState
from kernelfleet.controller.requests import Request
from kernelfleet.wire.operations import OPERATIONS
from tests.controller.asking import Asker, with_clients
from tests.controller.simulated import Fleet


class Work:
    """Requests for one engine, and how they ended."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ended: dict[str, Any] = {}
        self.begun: list[str] = []

    def put(self, name: str, verb: str = "execute", client: str = "me") -> None:
        def done(request: Request) -> None:
            self.ended[name] = request.results[0]

        request = Request(
            client, name, OPERATIONS[verb], [self.engine.id], {"code": "1"}, name, [], [0], done,
            on_start=lambda _: self.begun.append(name),
        )  # fmt: skip
        (job,) = request.jobs()
        self.engine.put(job)

    def error(self, name: str) -> Any:
        return self.ended[name]["error"]


def test_one_request_is_sent_at_a_time_in_the_order_in_which_they_came() -> None:
    async def test(fleet: Fleet, _me: Asker, _you: Asker) -> None:
        work = Work(fleet.registry.engines[1])
        for name in "abc":
            work.put(name)
        assert work.begun == ["a"]
        await fleet.settle(lambda: len(work.ended) == 3)
        assert work.begun == list(work.ended) == ["a", "b", "c"]
        assert work.engine.executed == 3
        assert work.engine.run is None

    with_clients(test)


def test_an_engine_that_is_not_ready_keeps_its_work_until_it_is() -> None:
    async def test(fleet: Fleet, _me: Asker, _you: Asker) -> None:
        engine = fleet.registry.engines[1]
        engine.queue.hold("a test")
        work = Work(engine)
        work.put("a")
        engine.start_next()
        assert work.begun == []
        engine.queue.release("a test")
        engine.start_next()
        assert work.begun == ["a"]
        await fleet.settle(lambda: "a" in work.ended)

    with_clients(test)


def test_a_death_fails_what_ran_and_what_waited_and_tells_which_it_was() -> None:
    async def test(fleet: Fleet, _me: Asker, _you: Asker) -> None:
        engine = fleet.registry.engines[1]
        work = Work(engine)
        for name in ("runs", "waits"):
            work.put(name)
        fleet.registry.channels[1].tamper = lambda *_: []  # it answers nothing any more
        asked = engine.ask("control", "fleet_peek_request", {})
        drained = asyncio.ensure_future(engine.drained())
        await asyncio.sleep(0)
        engine.detach(EngineState.DEAD, "EngineDied", "killed by signal 9", signal=9)
        for name, ran in (("runs", True), ("waits", False)):
            assert work.error(name)["ename"] == "EngineDied"
            assert work.error(name)["evalue"] == "killed by signal 9"
            assert (work.error(name)["ran"], work.error(name)["signal"]) == (ran, 9)
        with pytest.raises(ConnectionError, match="engine 1: killed by signal 9"):
            await asked
        with pytest.raises(ConnectionError, match="engine 1: killed by signal 9"):
            await engine.ask("control", "fleet_peek_request", {})
        await drained
        assert not engine.registered
        assert NOT_READY in engine.queue.holds

    with_clients(test)


def test_an_error_takes_what_the_same_client_had_queued_behind_it() -> None:
    async def test(fleet: Fleet, _me: Asker, _you: Asker) -> None:
        work = Work(fleet.registry.engines[1])
        work.put("fails")
        work.put("mine")
        work.put("item", verb="map")
        work.put("yours", client="you")
        # the reply cannot be read: the request fails
        fleet.registry.channels[1].tamper = lambda channel, frames: [(channel, frames[:3])]
        fleet.registry.channels[1].release()
        fleet.registry.channels[1].tamper = None
        assert work.error("fails")["ename"] == "EngineError"
        assert work.error("mine")["ename"] == "QueueCleared"
        await fleet.settle(lambda: len(work.ended) == 4)
        assert work.ended["item"]["ok"]
        assert work.ended["yours"]["ok"]

    with_clients(test)


def test_what_another_language_cannot_do_is_refused_and_what_it_can_is_not() -> None:
    async def test(fleet: Fleet, _me: Asker, _you: Asker) -> None:
        ours, python, bash = (fleet.registry.engines[i] for i in (0, 3, 4))
        for verb in ("execute", "push", "pull", "apply"):
            assert ours.unsupported(OPERATIONS[verb]) is None
            assert python.unsupported(OPERATIONS[verb]) is None
        assert bash.unsupported(OPERATIONS["execute"]) is None
        reason = bash.unsupported(OPERATIONS["push"])
        assert reason is not None
        assert reason.startswith("engine 4 runs the kernel 'bash' (bash), which cannot push: ")

    with_clients(test)


def test_an_engine_is_drained_when_nothing_runs_and_nothing_waits() -> None:
    async def test(fleet: Fleet, _me: Asker, _you: Asker) -> None:
        engine = fleet.registry.engines[1]
        await engine.drained()
        work = Work(engine)
        work.put("a")
        drained = asyncio.ensure_future(engine.drained())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not drained.done()
        await fleet.settle(lambda: "a" in work.ended)
        await drained

    with_clients(test)


def test_a_new_life_begins_without_what_the_old_one_knew() -> None:
    async def test(fleet: Fleet, _me: Asker, _you: Asker) -> None:
        engine = fleet.registry.engines[0]
        incarnation, channels = engine.incarnation, engine.channels
        assert incarnation is not None
        assert channels is not None
        engine.info, engine.executed = {"python": "3.13.0"}, 7
        engine.retire()
        assert not engine.registered
        work = Work(engine)
        work.put("waits")
        engine.detach(EngineState.STARTING, "EngineDied", "it was restarted")
        assert work.error("waits")["evalue"] == "it was restarted"
        engine.attach(incarnation, channels)
        assert (engine.info, engine.executed, engine.registered) == ({}, 0, False)
        engine.ready()
        work.put("new")
        await fleet.settle(lambda: "new" in work.ended)
        assert work.ended["new"]["ok"]

    with_clients(test)


@pytest.mark.parametrize("outcome", [None, RuntimeError("no"), asyncio.CancelledError()])
def test_whoever_waits_for_a_restart_is_told_how_it_went(outcome: BaseException | None) -> None:
    async def test(fleet: Fleet, _me: Asker, _you: Asker) -> None:
        engine = fleet.registry.engines[0]
        engine.restarted(outcome)  # nobody waits
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        engine.restarting = waiting
        engine.restarted(outcome)
        if outcome is None:
            await waiting
        else:
            with pytest.raises(type(outcome)):
                await waiting
        engine.restarted(outcome)  # and nobody any more

    with_clients(test)
