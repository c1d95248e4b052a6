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
    """Compares the processor time of engines with that of an earlier look.

    Args:
        seconds: Over how much time at least. Looks that come sooner repeat the last figures; what
            is measured over less than a second shows the ticks of the system's clock.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._spent: dict[tuple[int, int | None], float | None] = {}
        self._percent: dict[tuple[int, int | None], float | None] = {}
        self._when = float("-inf")

    def look(self, engines: EngineList) -> EngineList:
        """The engines with ``cpu_percent`` since an earlier look; None at the first one."""
        now = time.monotonic()
        elapsed = now - self._when
        if elapsed >= self._seconds:
            spent, self._when = self._spent, now
            self._spent = {_key(each): each.cpu_seconds for each in engines}
            self._percent = {
                _key(each): _percent(each, spent.get(_key(each)), elapsed) for each in engines
            }
        return EngineList(
            replace(each, cpu_percent=self._percent.get(_key(each))) for each in engines
        )


def _key(engine: EngineInfo) -> tuple[int, int | None]:
    return engine.id, engine.pid


def _percent(engine: EngineInfo, spent: float | None, elapsed: float) -> float | None:
    if spent is None or engine.cpu_seconds is None or elapsed <= 0:
        return None
    return 100 * (engine.cpu_seconds - spent) / elapsed
