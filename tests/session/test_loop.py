"""loop.py: one thread for all clients, from the first to the last."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from kernelfleet.errors import FleetError
from kernelfleet.session import loop


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> loop.LoopThread:
    """A shared thread of the test's own."""
    monkeypatch.setattr(loop, "_shared", None)
    monkeypatch.setattr(loop, "_users", 0)
    return loop.acquire()


def test_the_thread_lives_from_the_first_user_to_the_last(thread: loop.LoopThread) -> None:
    assert loop.acquire() is thread
    loop.release(thread)
    assert thread.loop.is_running()
    loop.release(thread)
    assert thread.loop.is_closed()
    loop.release(thread)  # once too often does no harm
    with pytest.raises(FleetError, match="closed"):
        thread.call(print)


def test_calls_keep_their_order(thread: loop.LoopThread) -> None:
    seen: list[int] = []
    done = threading.Event()
    for number in range(100):
        thread.call(seen.append, number)
    thread.call(done.set)
    assert done.wait(10)
    assert seen == list(range(100))
    loop.release(thread)


def test_a_blocking_call_on_the_thread_itself_is_refused(thread: loop.LoopThread) -> None:
    async def nested() -> str:
        with pytest.raises(FleetError, match="block=False"):
            thread.run(asyncio.sleep(0))
        return "refused"

    assert thread.run(nested(), timeout=10) == "refused"
    loop.release(thread)


def test_the_last_user_may_leave_on_the_thread_itself(thread: loop.LoopThread) -> None:
    thread.call(loop.release, thread)
    thread._thread.join(10)
    assert not thread._thread.is_alive()
    for each in threading.enumerate():
        if each.name == "kernelfleet-stop":
            each.join(10)


def test_after_a_fork_a_client_says_what_is_wrong(
    thread: loop.LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: thread.pid + 1)
        with pytest.raises(FleetError, match="forked"):
            thread.call(print)
    loop.release(thread)


def test_what_must_not_be_left_half_done_ends_in_spite_of_an_interrupt(
    thread: loop.LoopThread,
) -> None:
    ended = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        ended.append(True)

    with pytest.raises(TimeoutError):
        thread.run(work(), timeout=0)
    assert not ended
    with pytest.raises(TimeoutError):
        thread.run(work(), timeout=0, finish=True)
    assert ended
    loop.release(thread)


def test_an_interrupt_gives_up_a_coroutine_and_a_second_one_does_not_break_off_its_end(
    thread: loop.LoopThread,
) -> None:
    main, steps = threading.main_thread().ident, list[str]()
    assert main is not None

    async def work() -> None:
        try:
            signal.pthread_kill(main, signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            steps.append("given up")
            signal.pthread_kill(main, signal.SIGINT)
            await asyncio.sleep(0.1)
            steps.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        thread.run(work())
    assert steps == ["given up", "cleaned up"]
    loop.release(thread)


def test_the_thread_ends_with_what_still_runs_on_it(thread: loop.LoopThread) -> None:
    steps = list[str]()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    with pytest.raises(TimeoutError):
        thread.run(asyncio.wait_for(asyncio.sleep(60), 0.01))

    async def leave() -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work())
        await asyncio.sleep(0)
        return task

    task = thread.run(leave())
    loop.release(thread)
    assert steps == ["cleaned up"]
    assert task.cancelled()
