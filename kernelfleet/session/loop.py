"""The one background thread of the process: its loop serves all clients and embedded fleets.

The user's threads never run an event loop for kernelfleet: they put work on this one and wait. That
works in scripts, in IPython and in a notebook cell, where a loop is running already.

The thread starts with the first client and ends with the last.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import zmq

from kernelfleet.errors.tree import FleetError
from kernelfleet.session import ctrl_c
from kernelfleet.session.future import Future
from kernelfleet.wire.pump import MAX_SOCKETS

T = TypeVar("T")

#: Seconds that a cancelled coroutine may take to clean up after itself.
CLEAN_UP_SECONDS = 10.0


class LoopThread:
    """A thread with an asyncio loop and a ZMQ context."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        # Every socket here needs add_reader, which the default loop of Windows does not have.
        self.loop = asyncio.SelectorEventLoop()
        self.context: zmq.Context[Any] = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
        self._thread = threading.Thread(target=self._run, name="kernelfleet", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self._end())
            self.loop.close()
            # On this thread, which gets no signals: pyzmq (27.3) takes a context whose end a signal
            # has interrupted for one that has ended.
            self.context.destroy(linger=0)

    async def _end(self) -> None:
        """Cancel what still runs, and wait until it has cleaned up."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=CLEAN_UP_SECONDS)
        await self.loop.shutdown_asyncgens()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread

    def check_process(self) -> None:
        """Raise a FleetError in a forked child, which has the objects but not the thread."""
        if self.pid != os.getpid():
            raise FleetError(
                "this client was made before the process forked, and the child has no connection: "
                "make a new client in the child"
            )

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Have the loop call a function soon; the order of calls is kept."""
        self.check_process()
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            raise FleetError("this client is closed") from None

    def run(
        self,
        coroutine: Coroutine[Any, Any, T],
        timeout: float | None = None,
        *,
        finish: bool = False,
    ) -> T:
        """Run a coroutine on the loop and wait for it, also while it cleans up after a Ctrl-C.

        Args:
            coroutine: What to run.
            timeout: Seconds to wait; it is cancelled then, as by Ctrl-C.
            finish: Let it end in spite of Ctrl-C; for what is short and must not be left half done.
        """
        if self.is_current:
            coroutine.close()
            raise FleetError(
                "a blocking call was made from a callback on kernelfleet's own thread, where it "
                "would wait for itself: use block=False there"
            )
        outcome: Future[T] = Future()
        tasks: list[asyncio.Task[T]] = []

        def give_up() -> None:
            self.loop.call_soon_threadsafe(_cancel, tasks)

        with ctrl_c.held() as hold:
            try:
                self.call(self._start_task, coroutine, tasks, outcome)
            except FleetError:
                coroutine.close()
                raise
            with hold.giving_up(None if finish else give_up):
                try:
                    return outcome.result(timeout)
                except BaseException:
                    # The timeout, or an exception of the user's own signal handler: the coroutine
                    # is cancelled, and its clean-up is awaited.
                    if not outcome.done():
                        if not finish:
                            give_up()
                        concurrent.futures.wait([outcome], CLEAN_UP_SECONDS)
                    raise

    def _start_task(
        self,
        coroutine: Coroutine[Any, Any, T],
        tasks: list[asyncio.Task[T]],
        outcome: Future[T],
    ) -> None:
        def settle(task: asyncio.Task[T]) -> None:
            if task.cancelled():
                outcome.cancel()
                outcome.set_running_or_notify_cancel()
            elif (error := task.exception()) is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(task.result())

        tasks.append(self.loop.create_task(coroutine))
        tasks[0].add_done_callback(settle)

    def stop(self) -> None:
        """End the thread; called from another one, with every socket closed."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()


def _cancel(tasks: list[asyncio.Task[T]]) -> None:
    for task in tasks:
        if not task.cancelling():  # a second cancel would interrupt its clean-up
            task.cancel()


_lock = threading.Lock()
_shared: LoopThread | None = None
_users = 0


def _renew_lock() -> None:
    """In a forked child: a thread that the child does not have may have held the lock."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def acquire() -> LoopThread:
    """The process's loop thread; every ``acquire`` needs a ``release``."""
    global _shared, _users  # noqa: PLW0603 (one per process is the point)
    with _lock:
        if _shared is None or _shared.pid != os.getpid():
            _shared, _users = LoopThread(), 0
        _users += 1
        return _shared


def release(thread: LoopThread) -> None:
    """Give the thread back; it ends when every ``acquire`` has had its ``release``."""
    global _shared, _users  # noqa: PLW0603
    with _lock:
        if thread is not _shared or thread.pid != os.getpid():
            return
        _users -= 1
        if _users > 0:
            return
        _shared = None
    if thread.is_current:
        # The last client was closed by a callback on this very thread; it cannot join itself.
        threading.Thread(target=thread.stop, name="kernelfleet-stop").start()
    else:
        thread.stop()
