"""How busy engines are: they are looked at twice, or again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from kernelfleet.results import EngineInfo, EngineList

#: Seconds between the two questions.
CPU_SECONDS = 0.2


def measured(ask: Callable[[], EngineList], seconds: float = CPU_SECONDS) -> EngineList:
    """What ``ask`` returns, with ``cpu_percent`` of the engines whose processor time is known."""
    meter = Meter()
    meter.look(ask())
    time.sleep(seconds)
    return meter.look(ask())


class Meter:
    """Compares the processor time of engines with that of the last look."""

    def __init__(self) -> None:
        self._spent: dict[tuple[int, int | None], float | None] = {}
        self._when = 0.0

    def look(self, engines: EngineList) -> EngineList:
        """The engines with ``cpu_percent`` since the last look; None at the first one."""
        spent, now = self._spent, time.monotonic()
        elapsed, self._when = now - self._when, now
        self._spent = {(each.id, each.pid): each.cpu_seconds for each in engines}
        return EngineList(
            _with_percent(each, spent.get((each.id, each.pid)), elapsed) for each in engines
        )


def _with_percent(engine: EngineInfo, spent: float | None, elapsed: float) -> EngineInfo:
    if spent is None or engine.cpu_seconds is None or elapsed <= 0:
        return engine
    return replace(engine, cpu_percent=100 * (engine.cpu_seconds - spent) / elapsed)
