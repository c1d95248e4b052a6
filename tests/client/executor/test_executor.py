"""executor.py: options, and what becomes of its thread."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import BrokenExecutor
from types import FrameType
from typing import Any

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.client.executor.tasks import TaskOptions
from kernelfleet.errors import CompositeError, NoEnginesRegistered, SerializationError
from tests.fleets import eventually

pytestmark = pytest.mark.parametrize("transport", ["embedded"])


@pytest.fixture(autouse=True)
def _one_transport(transport: str) -> None:
    """Nothing here depends on it."""


def threads() -> int:
    return sum(thread.name == "kernelfleet-executor" for thread in threading.enumerate())


def test_an_executor_that_is_let_go_of_ends_its_thread(mec: MultiEngineClient) -> None:
    before = threads()
    pool = mec.executor()
    future = pool.submit(abs, -1)
    assert threads() == before + 1
    del pool
    gc.collect()
    assert future.result(20) == 1
    eventually(lambda: threads() == before)


def test_shutdown_without_waiting_lets_what_was_submitted_finish(mec: MultiEngineClient) -> None:
    before = threads()
    pool = mec.executor()
    futures = [pool.submit(abs, -i) for i in range(50)]
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError):
        pool.submit(abs, 1)
    assert [future.result(20) for future in futures] == list(range(50))
    eventually(lambda: threads() == before)


def test_an_executor_has_as_many_workers_as_engines(mec: MultiEngineClient) -> None:
    with mec.executor() as pool, mec.executor(targets=[0, 2]) as two:
        assert (pool._max_workers, two._max_workers) == (4, 2)


def test_an_executor_without_engines_is_refused_by_its_name(mec: MultiEngineClient) -> None:
    with pytest.raises(NoEnginesRegistered, match="an executor needs at least one engine"):
        mec.executor(targets=[])


def test_arguments_are_taken_as_they_are_at_the_time(mec: MultiEngineClient) -> None:
    data = bytearray(2_000_000)
    with mec.executor() as pool:
        futures = []
        for i in range(5):
            data[0] = i
            futures.append(pool.submit(lambda given: given[0], data))
        assert [future.result(20) for future in futures] == list(range(5))


def test_a_failing_thread_leaves_nobody_waiting(
    mec: MultiEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = mec.executor()
    monkeypatch.setattr(pool._work.dispatcher, "fill", lambda: 1 / 0)
    future = pool._tasks.put([], TaskOptions(), None, pool._work.place)
    pool._work.dispatcher.wake()
    eventually(future.done)
    with pytest.raises(BrokenExecutor, match="ZeroDivisionError"):
        pool.submit(abs, 1)
    pool.shutdown()


def test_a_value_that_cannot_be_unpickled_here_fails_alone_and_names_its_engine(
    mec: MultiEngineClient,
) -> None:
    mec.execute("class Bad:\n    def __reduce__(self):\n        return eval, ('1 / 0',)")
    with pytest.raises(CompositeError) as caught:
        mec.map("lambda i: Bad() if i == 1 else i", range(3), chunksize=1)
    (error,) = caught.value.exceptions
    assert isinstance(error, SerializationError)
    assert "cannot be unpickled here: ZeroDivisionError" in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert caught.value.results == {0: 0, 2: 2}


def interrupted_when_its_batch_ends(x: int) -> None:
    """Have an interrupt come just where what counts the prints is taken away."""
    import sys

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        if event == "line":
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace if frame.f_code.co_name == "_printing" else None

    sys.settrace(trace)


def speak(x: int) -> None:
    print(x)


def test_an_interrupt_at_the_end_of_a_batch_leaves_later_tasks_what_they_print(
    mec: MultiEngineClient,
) -> None:
    with pytest.raises(CompositeError) as caught:
        mec.map(interrupted_when_its_batch_ends, [0], targets=0)
    assert "KeyboardInterrupt" in str(caught.value)
    with mec.executor(targets=0) as pool:
        futures = [pool.submit(speak, i) for i in range(50)]
    assert [future.stdout for future in futures] == [f"{i}\n" for i in range(50)]
    left = "import sys\n'write' in vars(sys.stdout), 'publish' in vars(get_ipython().display_pub)"
    assert mec.execute(left, targets=0).values() == [(False, False)]
