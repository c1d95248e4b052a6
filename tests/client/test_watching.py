"""Looking at a fleet again and again."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet import EngineList, MultiEngineClient
from kernelfleet.client.watching import Watch
from tests.fleets import eventually
from tests.gate import Gate


@pytest.mark.parametrize("transport", ["unix"])
def test_a_fleet_is_looked_at_again_and_again(mec: MultiEngineClient, gate: Gate) -> None:
    watch, began = Watch(mec), time.time()
    mec.execute("1", targets=0)
    pending = mec.execute(gate.code, targets=1, block=False)
    eventually(pending.running)
    first = watch.look()
    assert [engine.cpu_percent for engine in first.engines] == [None] * 4
    assert first.timeline[-1].outcome == "running"
    assert first.now - first.start == 60.0
    gate.open()
    pending.wait(10)
    second = watch.look()
    assert None not in [engine.cpu_percent for engine in second.engines]
    # (What others did a minute ago may not be shown any more.)
    for look in (first, second):
        assert [span.engine for span in look.timeline if span.started >= began] == [0, 1]
    assert second.timeline[-1].outcome == "ok"
    assert Watch(mec, seconds=0.0).look().timeline == []


class Controllers:
    """Two controllers, one after the other, as a client sees them whose daemon was replaced."""

    def __init__(self) -> None:
        self.replies: list[dict[str, object]] = []
        self.asked: list[int] = []
        self._connection = self

    def engines(self) -> EngineList:
        return EngineList()

    def call(self, operation: str, timeout: float, since: int) -> object:
        del operation, timeout
        self.asked.append(since)
        value = {"running": [], "engines": [], "now": 100.0, "more": False, **self.replies.pop(0)}
        return SimpleNamespace(header={"value": value})


def test_another_controller_counts_anew() -> None:
    fleets: Any = Controllers()
    row = {"engine": 0, "call": "a", "what": "w", "operation": "push", "started": 99.0}
    spans = [{**row, "seconds": 0.1}]
    fleets.replies = [
        {"instance": "one", "mark": 7, "spans": []},
        {"instance": "one", "mark": 7, "spans": spans, "more": True},
        {"instance": "one", "mark": 9, "spans": spans},
        {"instance": "one", "mark": 9, "spans": []},
        {"instance": "two", "mark": 9, "spans": []},
        {"instance": "two", "mark": 1, "spans": spans},
    ]
    watch = Watch(fleets)
    assert [len(watch.look().timeline) for _ in range(3)] == [2, 2, 1]
    assert fleets.asked == [0, 0, 7, 9, 9, 0]
