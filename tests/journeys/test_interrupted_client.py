"""Ctrl-C at any moment of any call: the client works on, and nothing stays behind on the engines.

Each interrupt is an alarm that raises wherever the main thread is just then, in the standard
library too. A loop of short calls makes the moments between waiting and not waiting common.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from random import Random
from typing import Any

import numpy as np
import pytest

from kernelfleet import CompositeError, MultiEngineClient, PendingResult
from tests.fleets import eventually

ROUNDS = 100
#: One is enough but for those that Python swallows, in a destructor for instance.
AGAIN = 1.0


class CtrlC(KeyboardInterrupt): ...


def ring(*_: object) -> None:
    raise CtrlC


def interrupted(call: Callable[[], object], seconds: float) -> None:
    """Repeat the call until an alarm ends it."""
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
        while True:
            call()
    except CtrlC:
        return
    finally:
        while signal.getsignal(signal.SIGALRM) is ring:
            with suppress(CtrlC):
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)


def several(mec: MultiEngineClient) -> list[PendingResult[Any]]:
    return [mec.execute("1", block=False) for _ in range(3)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("transport", ["embedded", "unix"])
def test_an_interrupt_at_any_moment_breaks_neither_client_nor_fleet(
    mec: MultiEngineClient,
) -> None:
    array, random = np.zeros(200_000), Random(0)
    calls: dict[str, Callable[[], object]] = {
        "execute": lambda: mec.execute("print('a line')"),
        "push and pull": lambda: (mec.push({"a": array}), mec.pull("a", targets=0)),
        "scatter and gather": lambda: (mec.scatter("s", range(100)), mec.gather("s")),
        "apply": lambda: mec.apply(abs, -3),
        "map": lambda: list(mec.map(abs, range(50))),
        "imap": lambda: list(islice(mec.imap(abs, range(1000)), 30)),
        "pending": lambda: [each.result() for each in several(mec)],
        "questions": lambda: (mec.get_ids(), mec.queue_status()),
    }
    mec.execute("import numpy")  # which cannot be imported again where an interrupt has hit it
    with mec.executor() as executor:
        calls["executor"] = lambda: executor.submit(abs, -1).result()
        for _ in range(ROUNDS):
            call = random.choice(list(calls.values()))
            interrupted(call, 1e-6 + random.random() * 0.006)
        mec.barrier(timeout=30)
        with suppress(CompositeError):  # what the last interrupt still clears from the queues
            mec.execute("0", timeout=30)
        for call in calls.values():
            call()
    eventually(lambda: all(status["queue"] == [] for _, status in mec.queue_status()))
    assert not [each for each in threading.enumerate() if each.name == "kernelfleet-map"]
