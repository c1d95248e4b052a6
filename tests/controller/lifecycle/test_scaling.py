"""scaling.py: the number that was asked for is the number there is, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest

from kernelfleet.controller.lifecycle import scaling


class SimulatedEngine:
    def __init__(self, engine_id: int) -> None:
        self.id, self.registered = engine_id, True


class SimulatedRegistry:
    """Engines that come at once; ``killed`` ones are registered until ``found_dead``."""

    def __init__(self, n: int) -> None:
        self.engines: dict[int, Any] = {i: SimulatedEngine(i) for i in range(n)}
        self.killed: set[int] = set()
        self.pending: list[asyncio.Future[None]] = []
        self.added: list[int] = []
        self.on_add: Callable[[], object] = lambda: None

    @property
    def ids(self) -> list[int]:
        return [engine.id for engine in self.engines.values() if engine.registered]

    def unsettled(self) -> Sequence[asyncio.Future[Any]]:
        return [each for each in self.pending if not each.done()]

    def is_ending(self, engine: Any) -> bool:
        return engine.id in self.killed

    async def add(self, kernels: Sequence[str | None]) -> None:
        self.added.append(len(kernels))
        first = len(self.engines)
        self.engines.update((i, SimulatedEngine(i)) for i in range(first, first + len(kernels)))
        self.on_add()

    async def leave(self, leaving: Iterable[Any]) -> None:
        for engine in leaving:
            self.engines.pop(engine.id)

    def found_dead(self) -> None:
        for engine_id in self.killed:
            self.engines[engine_id].registered = False
        self.killed.clear()


Test = Callable[[SimulatedRegistry], Awaitable[None]]


def run(test: Test, n: int = 3) -> None:
    async def body() -> None:
        await asyncio.wait_for(test(SimulatedRegistry(n)), 10)

    asyncio.run(body())


@pytest.mark.parametrize(("wanted", "ids"), [(3, [0, 2, 3]), (2, [0, 2]), (1, [0])])
def test_an_engine_that_was_killed_is_not_counted_though_nobody_has_been_told(
    wanted: int, ids: list[int]
) -> None:
    async def test(registry: SimulatedRegistry) -> None:
        registry.killed.add(1)
        asyncio.get_running_loop().call_later(0.02, registry.found_dead)
        await scaling.scale(registry, wanted, None)
        assert registry.ids == ids

    run(test)


def test_one_that_hangs_on_its_way_out_is_waited_for_so_long_and_then_made_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scaling, "ENDING_SECONDS", 0.02)

    async def test(registry: SimulatedRegistry) -> None:
        registry.killed.add(1)
        await scaling.scale(registry, 3, None)
        assert registry.ids == [0, 1, 2, 3]

    run(test)


def test_a_death_that_is_looked_into_is_waited_for() -> None:
    async def test(registry: SimulatedRegistry) -> None:
        loop = asyncio.get_running_loop()
        registry.pending.append(loop.create_future())

        def found() -> None:
            registry.killed.add(0)
            registry.found_dead()
            registry.pending[0].set_result(None)

        loop.call_later(0.02, found)
        await scaling.scale(registry, 3, None)
        assert registry.ids == [1, 2, 3]

    run(test)


def test_one_that_dies_while_others_are_started_is_made_up_for_but_not_without_end() -> None:
    async def test(registry: SimulatedRegistry) -> None:
        def die() -> None:
            registry.killed.add(registry.ids[0])
            registry.found_dead()

        registry.on_add = die
        await scaling.scale(registry, 4, None)
        assert registry.added == [1] * scaling.ATTEMPTS

    run(test)
