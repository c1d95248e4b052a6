"""How busy engines are: their processor time is asked for twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from kernelfleet.results import EngineInfo, EngineList

#: Seconds between the two questions.
CPU_SECONDS = 0.2


def measured(ask: Callable[[], EngineList], seconds: float = CPU_SECONDS) -> EngineList:
    """What ``ask`` returns, with ``cpu_percent`` of the engines whose processor time is known."""
    before = {(each.id, each.pid): each.cpu_seconds for each in ask()}
    began = time.monotonic()
    time.sleep(seconds)
    after = ask()
    elapsed = time.monotonic() - began
    return EngineList(
        _with_percent(each, before.get((each.id, each.pid)), elapsed) for each in after
    )


def _with_percent(engine: EngineInfo, spent: float | None, elapsed: float) -> EngineInfo:
    if spent is None or engine.cpu_seconds is None:
        return engine
    return replace(engine, cpu_percent=100 * (engine.cpu_seconds - spent) / elapsed)
