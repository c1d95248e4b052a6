"""Large values of engines that are killed: nothing is lost, and the others' are not either."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from kernelfleet import MultiEngineClient

ITEMS = 30


def big(i: int) -> bytes:
    return bytes([i % 256]) * 1_500_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_map_of_large_values_survives_the_deaths_of_engines(
    start_fleet: Callable[..., MultiEngineClient], seed: int
) -> None:
    mec, chance = start_fleet(3, restart="on-death"), random.Random(seed)
    for _ in range(3):
        pending = mec.map(big, range(ITEMS), block=False, retries=50)
        for engine in mec.engines()[:2]:
            time.sleep(chance.uniform(0, 0.03))  # the moment is what differs
            if engine.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(engine.pid, signal.SIGKILL)
        assert pending.result(60) == [big(i) for i in range(ITEMS)]
