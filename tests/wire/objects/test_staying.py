"""What belongs to this process is told by its own name when it is to be sent."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from kernelfleet import Fleet, MultiEngineClient
from kernelfleet.errors import SerializationError


@pytest.mark.parametrize("transport", ["embedded"])
def test_each_is_named_with_what_to_do_instead(mec: MultiEngineClient) -> None:
    pending = mec.execute("1", block=False)
    fleet = Fleet(1)
    with mec.executor() as pool:
        future = pool.submit(abs, -1)
        told: dict[str, tuple[object, str]] = {
            "MultiEngineClient": (mec, "a client of its own"),
            "PendingResult": (pending, "send its value"),
            "Fleet": (fleet, "start a daemon"),
            "FleetExecutor": (pool, "submit the tasks from here"),
            "TaskFuture": (future, "send its value"),
        }
        for name, (held, instead) in told.items():
            ways: list[Callable[[], object]] = [
                lambda held=held: mec.apply(lambda: held),  # type: ignore[misc]
                lambda held=held: mec.push({"x": held}),  # type: ignore[misc]
                lambda held=held: pickle.dumps(held),  # type: ignore[misc]
            ]
            for call in ways:
                with pytest.raises(SerializationError, match=f"a {name} cannot travel.*{instead}"):
                    call()
    pending.result(20)
