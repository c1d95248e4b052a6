"""loop.py: what becomes of tasks, and of the thread, when an executor is aborted."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, wait

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import RemoteError
from tests.fleets import eventually
from tests.gate import Gate

pytestmark = pytest.mark.parametrize("transport", ["embedded"])


@pytest.fixture(autouse=True)
def _one_transport(transport: str) -> None:
    """Nothing here depends on it."""


def threads() -> int:
    return sum(thread.name == "kernelfleet-executor" for thread in threading.enumerate())


def test_abort_ends_every_task_wherever_it_is(mec: MultiEngineClient, gate: Gate) -> None:
    before = threads()
    pool = mec.executor(targets=[0, 1])
    # Two run, two wait at the engines, and the others here.
    futures = [pool.submit(eval, gate.code) for _ in range(12)]
    gate.entered(2)
    pool.abort()
    assert not wait(futures, timeout=20).not_done
    ends = [future.exception() if not future.cancelled() else None for future in futures]
    assert sum(isinstance(end, RemoteError) for end in ends) <= 2
    assert sum(future.cancelled() for future in futures) >= 10
    with pytest.raises(CancelledError):
        futures[-1].result()
    eventually(lambda: threads() == before)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(abs, 1)


def test_what_a_batch_has_not_begun_when_abort_interrupts_it_is_cancelled(
    mec: MultiEngineClient, gate: Gate
) -> None:
    before = threads()
    pool = mec.executor(targets=[0])
    assert [future.result(20) for future in [pool.submit(abs, -i) for i in range(500)]]
    # Quick tasks travel by the hundred: these are behind one another in a batch.
    held = [pool.submit(eval, gate.code if i == 0 else "1") for i in range(300)]
    gate.entered()
    pool.abort()
    assert not wait(held, timeout=20).not_done
    assert held[-1].cancelled()
    eventually(lambda: threads() == before)
