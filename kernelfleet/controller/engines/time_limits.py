"""Time limits of tasks: what runs longer than its client allows is interrupted, then left alone."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.engines.in_flight import InFlight
from kernelfleet.controller.timing import OVERDUE_SECONDS


class TimeLimits:
    """The running timers, at most one per engine, as an engine runs one request at a time.

    Args:
        find: The engine of an id.
        interrupt: Interrupts a request on an engine, unless it is over.
        spawn: Runs a coroutine beside everything else.
    """

    def __init__(
        self,
        find: Callable[[int], Engine],
        interrupt: Callable[[Engine, InFlight], Coroutine[Any, Any, None]],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._find, self._interrupt, self._spawn = find, interrupt, spawn
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def of(self, seconds: float | None) -> Callable[[int], None]:
        """What to call with an engine's id when that engine starts a request of this limit.

        The time a request has waited in the queue does not count. None is no limit.
        """
        if not seconds:
            return lambda _: None

        def started(engine_id: int) -> None:
            engine = self._find(engine_id)
            assert engine.run is not None
            run = weakref.ref(engine.run)  # a timer must not keep a request that has ended early

            def is_up() -> None:
                if engine.run is not None and engine.run is run():
                    self._spawn(self._stop_overdue(engine, engine.run, seconds))

            if engine_id in self._timers:  # most end early: they must not pile up for hours
                self._timers[engine_id].cancel()
            self._timers[engine_id] = asyncio.get_running_loop().call_later(seconds, is_up)

        return started

    async def _stop_overdue(self, engine: Engine, run: InFlight, seconds: float) -> None:
        run.overdue = True
        await self._interrupt(engine, run)
        await asyncio.sleep(OVERDUE_SECONDS)
        if engine.run is run:
            text = (
                f"the task did not end within {seconds:g} s and does not respond to an interrupt: "
                f"engine {engine.id} is busy with it still"
            )
            run.job.fail("TimeoutError", text)
