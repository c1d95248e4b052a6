"""registry.py: which engines there are, from their start to their end. Without processes."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import zmq

from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.lifecycle import registry as registry_module
from kernelfleet.controller.lifecycle.registry import EngineRegistry
from kernelfleet.controller.options import FleetOptions
from kernelfleet.errors import StartError
from kernelfleet.wire.jupyter import make_session
from tests.fleets import until

Test = Callable[["Simulation"], Awaitable[None]]


class Life:
    """One process of an engine, as the registry sees it."""

    native, ipc_on_trial, transport, kernel_name = True, False, "ipc", "kernelfleet"
    endpoints: Any = None
    provisioner: Any = None

    def __init__(self, number: int, engine_id: int) -> None:
        self.engine_id, self.pid = engine_id, 1000 + number
        self.session_id = f"life {number}"
        self.identity = self.session_id.encode()
        self.leaving = False


class SimulatedLauncher:
    """Its processes live until they are stopped, or until the test lets them die."""

    worlds = None

    def is_ending(self, life: Life) -> bool:
        return life.engine_id in self.ending

    def __init__(self) -> None:
        self.lives: dict[int, Life] = {}
        self.ended: list[int] = []
        #: Engines that were killed, of which nobody has been told.
        self.ending: set[int] = set()
        self._deaths: dict[str, Callable[[], object]] = {}
        self._numbers = itertools.count()

    async def start(self, engine_id: int, _kernel: str | None, **_: Any) -> Life:
        self.lives[engine_id] = Life(next(self._numbers), engine_id)
        return self.lives[engine_id]

    def watch(self, life: Life, _loop: Any, when_ended: Callable[[], object]) -> None:
        self._deaths[life.session_id] = when_ended

    def die(self, engine_id: int) -> None:
        self._deaths[self.lives[engine_id].session_id]()

    async def reap(self, _life: Life) -> int:
        return -9

    async def stop(self, lives: Iterable[Life], ask: Callable[[Life], object]) -> None:
        for life in lives:
            ask(life)
            self.ended.append(life.engine_id)

    async def end_now(self, life: Life) -> None:
        self.ended.append(life.engine_id)

    async def end_descendants(self, life: Life) -> None: ...

    def close_to_others(self, life: Life) -> None: ...


class NoChannels:
    """Channels to nobody."""

    def __init__(self, *_: Any) -> None: ...
    def connect(self, *_: Any) -> None: ...
    def disconnect(self, *_: Any) -> None: ...
    def send(self, *_: Any) -> None: ...
    async def drain(self) -> None: ...
    def close(self) -> None: ...


class Simulation:
    """A registry, and what became of it."""

    def __init__(self, tmp_path: Path, restart: str) -> None:
        self.launcher = SimulatedLauncher()
        self.changes: list[list[int]] = []
        self.restarted: list[int] = []
        #: Engines that do not come up, and those whose start waits for ``go_on``.
        self.broken: set[int] = set()
        self.slow: set[int] = set()
        self.go_on = asyncio.Event()
        launcher: Any = self.launcher
        log = logging.Logger("simulated")
        options = FleetOptions(kernels=(None,), restart=restart)
        session = make_session(b"secret", "kernelfleet")
        self.registry = EngineRegistry(
            zmq.Context.instance(), session, launcher, tmp_path, log, options
        )
        self.registry.subscribe(self)

    async def start_up(self, engine: Engine, *_: Any) -> None:
        if engine.id in self.slow:
            await self.go_on.wait()
        if engine.id in self.broken:
            raise StartError(f"engine {engine.id} did not come up")

    def engines_changed(self) -> None:
        self.changes.append(self.registry.ids)

    def engine_restarted(self, engine: Engine) -> None:
        self.restarted.append(engine.id)

    def engine_finished(self, *_: Any) -> None: ...


@pytest.fixture
def simulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a test with a registry."""
    monkeypatch.setattr(registry_module, "KernelChannels", NoChannels)

    def simulate(test: Test, restart: str = "never") -> None:
        async def body() -> None:
            simulation = Simulation(tmp_path, restart)
            monkeypatch.setattr(registry_module, "start_up", simulation.start_up)
            await test(simulation)
            await simulation.registry.stop()
            assert simulation.registry.ids == []

        asyncio.run(asyncio.wait_for(body(), 20))

    return simulate


def test_new_engines_get_the_lowest_ids_that_are_free(simulate: Callable[..., None]) -> None:
    async def test(sim: Simulation) -> None:
        await sim.registry.add([None] * 3)
        assert sim.registry.ids == [0, 1, 2]
        await sim.registry.remove([sim.registry.engines[1]])
        await sim.registry.add([None, None])
        assert sim.registry.ids == [0, 1, 2, 3]
        assert sim.changes == [[0, 1, 2], [0, 2], [0, 1, 2, 3]]

    simulate(test)


def test_if_one_engine_does_not_start_those_that_did_are_ended_and_nobody_hears_of_them(
    simulate: Callable[..., None],
) -> None:
    async def test(sim: Simulation) -> None:
        await sim.registry.add([None])
        sim.broken, sim.slow = {2}, {3}
        with pytest.raises(StartError, match="engine 2 did not come up"):
            await sim.registry.add([None] * 3)
        assert list(sim.registry.engines) == sim.registry.ids == [0]
        assert sorted(sim.launcher.ended) == [1, 2, 3]

    simulate(test)


def test_a_dead_engine_keeps_its_id_until_it_is_restarted(simulate: Callable[..., None]) -> None:
    async def test(sim: Simulation) -> None:
        await sim.registry.add([None, None])
        engine = sim.registry.engines[0]
        sim.launcher.die(0)
        await until(lambda: bool(sim.registry.dead))
        assert sim.registry.ids == [1]
        assert sim.registry.dead[0].startswith("killed by signal 9 (SIGKILL)")
        assert sim.registry.find(0) is None
        await sim.registry.add([None])
        assert sim.registry.ids == [1, 2]
        await sim.registry.restart([engine])
        assert sim.registry.ids == [0, 1, 2]
        assert sim.registry.find(0) is engine
        assert (sim.registry.dead, sim.restarted) == ({}, [0])

    simulate(test)


def test_a_process_that_is_ended_on_purpose_is_no_death(simulate: Callable[..., None]) -> None:
    async def test(sim: Simulation) -> None:
        await sim.registry.add([None, None])
        old = sim.launcher.lives[0].session_id
        await sim.registry.restart([sim.registry.engines[0]])
        sim.launcher._deaths[old]()  # word of the old process comes late
        await until(lambda: not sim.registry.unsettled())
        assert sim.registry.ids == [0, 1]
        assert sim.registry.find_by_tag(old) is None
        assert sim.registry.find_by_tag(sim.launcher.lives[0].session_id) is sim.registry.engines[0]

    simulate(test)


def test_two_who_restart_one_engine_at_once_get_one_new_process(
    simulate: Callable[..., None],
) -> None:
    async def test(sim: Simulation) -> None:
        await sim.registry.add([None])
        engine = sim.registry.engines[0]
        await asyncio.gather(sim.registry.restart([engine]), sim.registry.restart([engine]))
        assert sim.launcher.ended == [0]
        assert sim.restarted == [0]
        assert sim.launcher.lives[0].session_id == "life 1"

    simulate(test)


def test_an_engine_that_does_not_come_up_again_is_dead_and_says_so(
    simulate: Callable[..., None],
) -> None:
    async def test(sim: Simulation) -> None:
        await sim.registry.add([None, None])
        sim.broken = {1}
        with pytest.raises(StartError, match="engine 1 did not come up"):
            await sim.registry.restart(list(sim.registry.engines.values()))
        assert sim.registry.ids == [0]
        assert sim.registry.dead == {1: "it could not be restarted: engine 1 did not come up"}

    simulate(test)


def test_scaling_down_ends_the_highest_ids_when_they_are_drained(
    simulate: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(sim: Simulation) -> None:
        await sim.registry.add([None] * 3)
        drained = asyncio.Event()
        monkeypatch.setattr(sim.registry.engines[2], "drained", drained.wait)
        scaling = asyncio.ensure_future(sim.registry.scale(1, None))
        await until(lambda: sim.registry.ids == [0])  # new work does not reach the others
        assert sim.launcher.ended == []
        drained.set()
        await scaling
        assert list(sim.registry.engines) == [0]
        assert sorted(sim.launcher.ended) == [1, 2]
        await sim.registry.scale(3, None)
        assert sim.registry.ids == [0, 1, 2]

    simulate(test)


def test_whoever_scales_waits_for_engines_that_are_just_starting(
    simulate: Callable[..., None],
) -> None:
    async def test(sim: Simulation) -> None:
        await sim.registry.add([None])
        sim.slow = {1}
        adding = asyncio.ensure_future(sim.registry.add([None]))
        await until(lambda: 1 in sim.launcher.lives)
        scaling = asyncio.ensure_future(sim.registry.scale(2, None))
        await asyncio.sleep(0.01)
        assert not scaling.done()
        sim.go_on.set()
        await asyncio.gather(adding, scaling)
        assert sim.registry.ids == [0, 1]  # and not three

    simulate(test)


def test_an_engine_is_started_again_by_the_policy_until_it_dies_too_often(
    simulate: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(sim: Simulation) -> None:
        await sim.registry.add([None])
        policy = sim.registry.engines[0].restart_policy
        pauses = iter([0.0, 0.0, None])
        monkeypatch.setattr(policy, "pause", lambda _now: next(pauses))
        for life in ("life 1", "life 2"):
            sim.launcher.die(0)
            await until(lambda life=life: sim.launcher.lives[0].session_id == life)  # type: ignore[misc]
            await until(lambda: sim.registry.ids == [0])
        sim.launcher.die(0)
        await until(lambda: "restarted too often and is left dead" in sim.registry.dead.get(0, ""))

    simulate(test, restart="on-death")


def test_the_end_of_the_fleet_ends_what_is_just_starting(simulate: Callable[..., None]) -> None:
    async def test(sim: Simulation) -> None:
        await sim.registry.add([None])
        sim.slow = {1}
        adding = asyncio.ensure_future(sim.registry.add([None]))
        await until(lambda: 1 in sim.launcher.lives)
        await sim.registry.stop()
        await asyncio.wait([adding])
        assert adding.cancelled() or adding.exception() is not None
        assert sorted(set(sim.launcher.ended)) == [0, 1]

    simulate(test)
