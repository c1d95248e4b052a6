"""How busy engines are."""

from __future__ import annotations

import pytest

from kernelfleet import EngineInfo, EngineList
from kernelfleet.client.usage import Meter, measured


def test_processor_time_between_two_looks_is_a_percentage() -> None:
    looks = iter(
        [
            EngineList(EngineInfo(id=i, state="idle", pid=i, cpu_seconds=1.0) for i in range(3)),
            EngineList(
                [
                    EngineInfo(id=0, state="busy", pid=0, cpu_seconds=1.0),
                    EngineInfo(id=1, state="busy", pid=1, cpu_seconds=51.0),
                    EngineInfo(id=2, state="idle", pid=7, cpu_seconds=0.1),  # it was restarted
                    EngineInfo(id=3, state="dead"),
                ]
            ),
        ]
    )
    idle, busy, fresh, dead = measured(lambda: next(looks), seconds=0.05)
    assert idle.cpu_percent == 0
    assert busy.cpu_percent is not None
    assert 0 < busy.cpu_percent <= 100 * 50 / 0.05
    assert (fresh.cpu_percent, dead.cpu_percent) == (None, None)


def test_looks_that_come_too_soon_repeat_the_last_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    meter, seen = Meter(seconds=1.0), []
    for moment, spent in ((100.0, 1.0), (100.5, 1.5), (101.0, 1.9), (101.5, 2.4), (102.0, 2.4)):
        now[0] = moment
        engine = EngineInfo(id=0, state="busy", pid=1, cpu_seconds=spent)
        (looked,) = meter.look(EngineList([engine]))
        seen.append(None if looked.cpu_percent is None else round(looked.cpu_percent))
    assert seen == [None, None, 90, 90, 50]
