"""future.py: a Future whose lock an interrupt cannot leave taken."""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from kernelfleet.session.future import Future


class Alarm(BaseException): ...


RUNG: list[int] = []


@pytest.fixture
def alarms() -> Iterator[Callable[[float], object]]:
    """Sets an alarm that raises in this thread after so many seconds, wherever it is then.

    Where Python ignores exceptions (the end of an object, coverage's tracing), that it rang is all.
    """
    RUNG.clear()

    def ring(*_: object) -> None:
        RUNG.append(1)
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    yield partial(signal.setitimer, signal.ITIMER_REAL)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def setter() -> Iterator[queue.SimpleQueue[Future[int] | None]]:
    """A thread that gives each future it gets its result."""
    due: queue.SimpleQueue[Future[int] | None] = queue.SimpleQueue()

    def work() -> None:
        while (future := due.get()) is not None:
            future.set_result(1)

    thread = threading.Thread(target=work)
    thread.start()
    yield due
    due.put(None)
    thread.join(10)
    assert not thread.is_alive(), "it waits for the lock of a future"


def test_an_interrupt_leaves_no_lock_taken(
    alarms: Callable[[float], object], setter: queue.SimpleQueue[Future[int] | None]
) -> None:
    def wait_until_it_rings(n: int) -> None:
        alarms(1e-6 + n % 200 * 1e-6)
        while len(RUNG) == n:
            future: Future[int] = Future()
            setter.put(future)
            assert future.result(10) == 1
            assert future.done()

    for n in range(3000):
        # (Python 3.13 takes the end of a loop in a with statement for outside of it.)
        with contextlib.suppress(Alarm):
            wait_until_it_rings(n)
    assert len(RUNG) == 3000


def test_it_is_a_future_like_any_other() -> None:
    futures: list[Future[int]] = [Future() for _ in range(3)]
    for future in futures:
        threading.Timer(0.02, future.set_result, [1]).start()
    done, not_done = concurrent.futures.wait(futures, 10)
    assert done == set(futures)
    assert not_done == set()
    assert [future.result() for future in concurrent.futures.as_completed(futures, 10)] == [1] * 3


def test_many_may_wait_for_one() -> None:
    future: Future[int] = Future()
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(future.result(10))) for _ in range(5)]
    for thread in threads:
        thread.start()
    future.set_result(7)
    for thread in threads:
        thread.join(10)
    assert got == [7] * 5


def test_a_timeout_leaves_nobody_waiting() -> None:
    future: Future[int] = Future()
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        future.result(0.05)
    assert time.monotonic() - begun < 5
    assert future._condition._waiters == []  # type: ignore[attr-defined]
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(0)


@pytest.mark.parametrize("timeout", [0, -0.5, -1])
def test_a_timeout_that_is_over_is_a_look(timeout: float) -> None:
    future: Future[int] = Future()
    with pytest.raises(TimeoutError):
        future.result(timeout)
    future.set_result(1)
    assert future.result(timeout) == 1


def test_a_timeout_longer_than_any_clock_is_none(
    setter: queue.SimpleQueue[Future[int] | None],
) -> None:
    future: Future[int] = Future()
    setter.put(future)
    assert future.result(float("inf")) == 1
