"""Nobody waits for another client's large message."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.journeys.daemons import OwnFleet

MB = 2**20


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["up", "down"])
def test_small_calls_are_answered_while_another_client_moves_much_over_tcp(
    own_fleet: Callable[..., OwnFleet], monkeypatch: pytest.MonkeyPatch, direction: str
) -> None:
    """Once they waited behind frames of that size until they were told that nobody answers."""
    monkeypatch.setenv("KERNELFLEET_SHARED_MEMORY", "0")
    fleet = own_fleet(2, transport="tcp")
    with fleet.client() as heavy, fleet.client() as light:
        heavy.execute(f"data = bytes({300 * MB})", targets=0, timeout=60)
        if direction == "up":
            moving = heavy.push({"other": bytes(300 * MB)}, targets=0, block=False)
        else:
            moving = heavy.pull("data", targets=0, block=False)
        taken = []
        while not moving.done():
            began = time.monotonic()
            light.execute("1", targets=1, timeout=20)
            taken.append(time.monotonic() - began)
        moving.result(60)
    print(f"{len(taken)} calls, the slowest {max(taken):.3f} s")
    assert len(taken) >= 5
    assert max(taken) < 1
