"""How busy engines are: measured by asking twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from kernelfleet.results import EngineInfo, EngineList

#: How long it is measured.
CPU_SECONDS = 0.2


def measured(ask: Callable[[], EngineList], seconds: float = CPU_SECONDS) -> EngineList:
    """What ``ask`` tells of the engines, with ``cpu_percent`` for those of which it can be told."""
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
