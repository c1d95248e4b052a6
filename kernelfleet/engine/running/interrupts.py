"""SIGINT: user code can be interrupted, the engine cannot.

Outside user code the signal ends nothing (a Python function handles it, not SIG_IGN, which children
would inherit). Around user code it is Python's own handler, and awaiting code is cancelled. A
request may run user code in several pieces (a function, then what it returned is awaited): a
signal between them is for the next one. Behind the last it is dropped: what is finished counts as
finished.

A bare signal that comes before the request would be lost. The controller therefore names the
request it wants interrupted (``want``), and the signal is sent from here, once, when that
request's code runs.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import asyncio
import functools
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

#: ``signal.signal`` turns what it gets and gives into enumerations, which takes a tenth of a call.
_set_handler = _signal.signal

#: Seconds between an interrupt and the nudges that follow it.
NUDGES = (0.005, 0.02, 0.1, 0.3)
#: Seconds an awaiting cell's loop may be busy with one callback after an interrupt.
STUCK_AFTER = 0.3

_KERNEL_PACKAGES = ("asyncio", "ipykernel", "kernelfleet", "tornado", "zmq")


def ignore(signum: int, frame: object) -> None:
    """Handle a signal that is only to end system calls."""


def remember(signum: int, frame: object) -> None:
    """Handle SIGINT outside user code: what the request that is served has still to run."""
    if _Requests.served is not None:
        _Requests.wanted = {_Requests.served: True}


def install() -> None:
    """Make the engine deaf to SIGINT."""
    signal.signal(signal.SIGINT, remember)
    if hasattr(signal, "SIGURG"):  # only ends system calls; ignored where nobody handles it
        signal.signal(signal.SIGURG, ignore)


def raise_in_main_thread() -> None:
    """Have SIGINT handled by the main thread, out of a system call as well where that can be."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


class _Requests:
    """Which request is served, which one's code runs, and which one is to be interrupted.

    Read and written by two threads: ``wanted`` is taken with ``pop``, so by one of them only.
    """

    served: str | None = None
    inside: str | None = None
    wanted: dict[str | None, bool] = {}  # noqa: RUF012 (one per process)


@contextmanager
def serving(msg_id: str) -> Iterator[None]:
    """Say which request the code belongs to that runs in this context."""
    _Requests.served = msg_id
    try:
        yield
    finally:
        _Requests.served = None
        _Requests.wanted.pop(msg_id, None)


def want(msg_id: str) -> None:
    """Interrupt this request, now or when its code begins; called on the control thread."""
    _Requests.wanted = {msg_id: True}  # the fleet has one request here at a time
    if _Requests.inside == msg_id and _Requests.wanted.pop(msg_id, False):
        if not hasattr(os, "killpg"):
            raise_in_main_thread()
            return
        group = os.getpgrp()
        # what the code has started is interrupted as by Ctrl-C in a terminal
        (os.killpg if group == os.getpid() else os.kill)(os.getpid(), signal.SIGINT)
        threading.Thread(target=_nudge, args=[msg_id], name="Nudge", daemon=True).start()


def _nudge(msg_id: str) -> None:
    """Wake a system call that the main thread entered just after it had got the signal.

    Python looks for signals before the call and gives up the GIL; we run then, of all times.
    Another SIGINT would hit the user's clean-up if the first one has been seen.
    """
    main = threading.main_thread().ident or 0
    for seconds in NUDGES:
        time.sleep(seconds)
        if _Requests.inside != msg_id or signal.getsignal(signal.SIGURG) is not ignore:
            return
        signal.pthread_kill(main, signal.SIGURG)


def _enter() -> bool:
    """User code is about to run; whether its interrupt has come before it."""
    _Requests.inside = _Requests.served
    return bool(_Requests.wanted.pop(_Requests.served, None))


def run_interruptible(call: Callable[[], T]) -> T:
    """Call user code with Python's own handler installed.

    Between ``call`` and ``done`` Python looks for no signals; later ones are for what follows.
    """
    value: Any = None
    error: BaseException | None = None
    done = False
    try:
        try:
            _set_handler(signal.SIGINT, signal.default_int_handler)
            if _enter():
                raise KeyboardInterrupt
            value = call()
            done = True
            _set_handler(signal.SIGINT, remember)
        except BaseException as raised:  # noqa: BLE001 - raised again below
            error = raised
            _set_handler(signal.SIGINT, remember)
    except KeyboardInterrupt as again:
        error = error or again
        remember(signal.SIGINT, None)
        try:
            _set_handler(signal.SIGINT, remember)
        except KeyboardInterrupt:
            _set_handler(signal.SIGINT, remember)
    _Requests.inside = None
    if not done and error is not None:
        raise error
    return value  # type: ignore[no-any-return]


class Cancellation:
    """Whether the code that is (or was last) awaited has been interrupted; one per process."""

    interrupted = False
    #: Its error is being shown, which takes a while: that is nothing to interrupt.
    shown = False


@contextmanager
def cancel_on_sigint(future: asyncio.Future[Any]) -> Iterator[None]:
    """Cancel the future when SIGINT comes, or raise in the task that is just running.

    ``call_soon_threadsafe`` wakes the loop; ipykernel 7.4 waits for the next message. Code that
    keeps the loop from cancelling (a task that sleeps without awaiting, begun before the
    cancellation got its turn) is interrupted where it stands.
    """
    loop = asyncio.get_running_loop()
    Cancellation.interrupted = Cancellation.shown = False
    watch = _Watch(loop, future)

    def on_sigint(signum: int, frame: FrameType | None) -> None:
        Cancellation.interrupted = True
        running = asyncio.current_task(loop)
        if not watch.loop_is_stuck:
            _thread.start_new_thread(watch.until_the_loop_turns, ())  # takes no lock, a Thread does
        if running is None:
            if watch.loop_is_stuck and _in_users_callback(frame):
                raise KeyboardInterrupt
        elif running is future or not _is_of_the_kernel(running.get_coro()):
            raise KeyboardInterrupt  # user code that does not await just now
        if not watch.loop_is_stuck:
            loop.call_soon_threadsafe(future.cancel)

    before = signal.signal(signal.SIGINT, on_sigint)
    try:
        if _enter():
            Cancellation.interrupted = True
            future.cancel()
        yield
    finally:
        _Requests.inside = None
        watch.over = True
        signal.signal(signal.SIGINT, before)


class _Watch:
    """Sees whether a loop gets to its callbacks after an interrupt."""

    def __init__(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> None:
        self._loop = loop
        self._future = future
        self.loop_is_stuck = False
        self.over = False

    def until_the_loop_turns(self) -> None:
        """Interrupt the main thread as long as it does not come back to the loop.

        The code may have ended by the interrupt, and left the loop a callback that blocks.
        """
        main = threading.main_thread().ident or 0
        while True:
            # not an Event, whose lock a KeyboardInterrupt can leave taken (CPython 3.11 to 3.14)
            turned: queue.SimpleQueue[None] = queue.SimpleQueue()
            self._loop.call_soon_threadsafe(turned.put, None)
            if _comes(turned, STUCK_AFTER) or self.over:
                self.loop_is_stuck = False
                return
            if Cancellation.shown and not self._future.done():
                continue
            self.loop_is_stuck = True
            signal.pthread_kill(main, signal.SIGINT)


def _comes(event: queue.SimpleQueue[None], timeout: float) -> bool:
    try:
        event.get(timeout=timeout)
    except queue.Empty:
        return False
    return True


def _in_users_callback(frame: FrameType | None) -> bool:
    """Whether the loop is calling something of the user's.

    A KeyboardInterrupt in a callback of the kernel's could lose a message.
    """
    while frame is not None:
        if frame.f_code is asyncio.Handle._run.__code__:
            callback = frame.f_locals["self"]._callback
            return not _is_of_the_kernel(getattr(callback, "func", callback))
        frame = frame.f_back
    return False


def _is_of_the_kernel(thing: object) -> bool:
    """Whether a callback or coroutine is of the libraries that drive the kernel."""
    code = getattr(thing, "cr_code", None) or getattr(thing, "__code__", None)
    if code is None:
        module = getattr(thing, "__module__", None) or ""
        return module.partition(".")[0] in _KERNEL_PACKAGES
    return str(code.co_filename).startswith(_kernel_folders())


@functools.cache
def _kernel_folders() -> tuple[str, ...]:
    files = (getattr(sys.modules.get(name), "__file__", None) for name in _KERNEL_PACKAGES)
    return tuple(os.path.dirname(file) + os.sep for file in files if file)


async def run_cancellable(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await user code; an interrupt is a KeyboardInterrupt, also where it was a cancellation."""

    async def shield_loop() -> tuple[T | None, BaseException | None]:
        # a KeyboardInterrupt that leaves a task would leave the event loop too
        try:
            return await coroutine, None
        except BaseException as error:  # noqa: BLE001 - raised again below
            return None, error

    task = asyncio.ensure_future(shield_loop())
    with cancel_on_sigint(task):
        try:
            value, error = await task
        except asyncio.CancelledError as cancelled:  # before the task had begun
            coroutine.close()
            value, error = None, cancelled
    if isinstance(error, asyncio.CancelledError) and Cancellation.interrupted:
        raise KeyboardInterrupt from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]
