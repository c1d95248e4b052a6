from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet.controller.engines import time_limits
from kernelfleet.controller.engines.time_limits import TimeLimits


class Job:
    """Remembers how it failed."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def fail(self, ename: str, text: str) -> None:
        self.failures.append(f"{ename}: {text}")


class Running:
    """A request that an engine runs."""

    def __init__(self) -> None:
        self.overdue, self.job = False, Job()


class OneEngine:
    """An engine, and what its time limits have interrupted."""

    def __init__(self, *, responds: bool) -> None:
        self.engine: Any = SimpleNamespace(id=3, run=Running())
        self.interrupted: list[object] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._responds = responds
        self.limits = TimeLimits(lambda _: self.engine, self._interrupt, self._spawn)

    async def _interrupt(self, engine: Any, run: Any) -> None:
        self.interrupted.append(run)
        if self._responds:
            engine.run = None

    def _spawn(self, coroutine: Any) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(coroutine))

    async def time_passes(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await asyncio.gather(*self.tasks)


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limits, "OVERDUE_SECONDS", 0.01)


def test_what_runs_too_long_is_interrupted_once() -> None:
    async def test() -> None:
        one = OneEngine(responds=True)
        run = one.engine.run
        one.limits.of(0.01)(3)
        await one.time_passes(0.05)
        assert one.interrupted == [run]
        assert run.overdue
        assert run.job.failures == []

    asyncio.run(test())


def test_what_does_not_respond_to_the_interrupt_fails_with_the_engine_it_keeps_busy() -> None:
    async def test() -> None:
        one = OneEngine(responds=False)
        one.limits.of(0.01)(3)
        await one.time_passes(0.05)
        (failure,) = one.engine.run.job.failures
        assert failure.startswith("TimeoutError: the task did not end within 0.01 s")
        assert "engine 3" in failure

    asyncio.run(test())


def test_what_has_ended_in_time_costs_the_next_request_nothing() -> None:
    async def test() -> None:
        one = OneEngine(responds=True)
        one.limits.of(0.01)(3)
        one.engine.run = Running()
        await one.time_passes(0.05)
        assert one.interrupted == []

    asyncio.run(test())


def test_an_engine_has_one_timer_that_of_its_latest_request() -> None:
    async def test() -> None:
        one = OneEngine(responds=True)
        one.limits.of(0.01)(3)
        one.limits.of(60.0)(3)  # the first request would still be there when its time is up
        await one.time_passes(0.05)
        assert one.interrupted == []

    asyncio.run(test())
