"""Nobody waits for a large message that he has nothing to do with."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

from tests.journeys.daemons import OwnFleet

MB = 2**20


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["another client's", "its own"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_small_calls_for_other_engines_are_answered_while_a_client_moves_much_over_tcp(
    own_fleet: Callable[..., OwnFleet], monkeypatch: pytest.MonkeyPatch, direction: str, whose: str
) -> None:
    """Once they waited behind frames of that size until they were told that nobody answers."""
    monkeypatch.setenv("KERNELFLEET_SHARED_MEMORY", "0")
    fleet = own_fleet(2, transport="tcp")
    with fleet.client() as heavy, fleet.client() as other:
        light = heavy if whose == "its own" else other
        heavy.execute(f"data = bytes({150 * MB})", targets=0, timeout=60)
        if direction == "up":
            moving = heavy.push({"other": bytes(150 * MB)}, targets=0, block=False)
            behind = heavy.execute("len(other)", targets=0, block=False)
        else:
            moving = heavy.pull("data", targets=0, block=False)
            behind = heavy.execute("len(data)", targets=0, block=False)
        taken = []
        while not moving.done():
            began = time.monotonic()
            light.execute("1", targets=1, timeout=20)
            taken.append(time.monotonic() - began)
            assert light.queue_status(1)
        moving.result(60)
        assert behind.result(60).values() == [150 * MB]  # what has to do with it keeps its place
    print(f"{len(taken)} calls, the slowest {max(taken):.3f} s")
    assert len(taken) >= 5
    assert statistics.median(taken) < 0.5
    assert max(taken) < 2.5
