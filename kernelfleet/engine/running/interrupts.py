"""SIGINT: user code can be interrupted, the engine cannot.

Outside user code the signal has no effect. A Python function handles it, because children would
inherit SIG_IGN. While user code runs, Python's own handler is installed; code that awaits is
cancelled. A request may run user code in several pieces: a function is called, and then the
coroutine that it returned is awaited. A SIGINT between two pieces interrupts the next one. A SIGINT
after the last piece is ignored, and the request counts as finished.

A signal that arrives before its request would be lost. Therefore the controller names the request
that it wants interrupted (``want``), and the engine sends itself the signal, once, when that
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

#: ``signal.signal`` converts its argument and its result to enumerations, which takes a tenth of
#: the time of a call.
_set_handler = _signal.signal

#: Pauses in seconds before the signals that follow an interrupt, see ``_nudge``.
NUDGES = (0.005, 0.02, 0.1, 0.3)
#: Time in seconds that the event loop may spend in one callback after an interrupt.
STUCK_AFTER = 0.3

_KERNEL_PACKAGES = ("asyncio", "ipykernel", "kernelfleet", "tornado", "zmq")


def ignore(signum: int, frame: object) -> None:
    """Handle a signal whose only purpose is to end a system call."""


def remember(signum: int, frame: object) -> None:
    """Handle SIGINT outside user code: interrupt the next piece of the request, if there is one."""
    if _Requests.served is not None:
        _Requests.wanted = {_Requests.served: True}


def install() -> None:
    """Let SIGINT have no effect outside user code."""
    signal.signal(signal.SIGINT, remember)
    if hasattr(signal, "SIGURG"):  # its default action is to be ignored
        signal.signal(signal.SIGURG, ignore)


def raise_in_main_thread() -> None:
    """Let the main thread handle SIGINT, where possible also while it is in a system call."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


class _Requests:
    """Which request is served, which request's code runs, and which is to be interrupted.

    The main thread and the control thread read and write this. ``wanted`` is taken with ``pop``, so
    only one of them gets it.
    """

    served: str | None = None
    inside: str | None = None
    wanted: dict[str | None, bool] = {}  # noqa: RUF012 (one per process)


@contextmanager
def serving(msg_id: str) -> Iterator[None]:
    """Set the request to which the code that runs in this context belongs."""
    _Requests.served = msg_id
    try:
        yield
    finally:
        _Requests.served = None
        _Requests.wanted.pop(msg_id, None)


def want(msg_id: str) -> None:
    """Interrupt this request now, or when its code begins. Called in the control thread."""
    _Requests.wanted = {msg_id: True}  # an engine serves one request of the fleet at a time
    if _Requests.inside == msg_id and _Requests.wanted.pop(msg_id, False):
        if not hasattr(os, "killpg"):
            raise_in_main_thread()
            return
        group = os.getpgrp()
        # Processes that the code has started are interrupted, too, as by Ctrl-C in a terminal.
        (os.killpg if group == os.getpid() else os.kill)(os.getpid(), signal.SIGINT)
        threading.Thread(target=_nudge, args=[msg_id], name="Nudge", daemon=True).start()


def _nudge(msg_id: str) -> None:
    """End a system call that the main thread has entered just before the signal arrived.

    Python checks for signals and then releases the GIL to block in a system call. This thread gets
    the GIL in exactly that window, so a signal sent from it often arrives in between. The signal
    sent here only ends the system call: a second SIGINT would interrupt the user's clean-up if the
    first one has been handled.
    """
    main = threading.main_thread().ident or 0
    for seconds in NUDGES:
        time.sleep(seconds)
        if _Requests.inside != msg_id or signal.getsignal(signal.SIGURG) is not ignore:
            return
        signal.pthread_kill(main, signal.SIGURG)


def _enter() -> bool:
    """Note that user code is about to run, and tell whether it is to be interrupted at once."""
    _Requests.inside = _Requests.served
    return bool(_Requests.wanted.pop(_Requests.served, None))


def run_interruptible(call: Callable[[], T]) -> T:
    """Call user code with Python's own handler of SIGINT installed.

    Python checks for no signals between the return of ``call`` and ``done = True``, so a value is
    never lost. A later signal interrupts the next piece of the request. A dense burst of signals
    can still hit between two lines here; then ``EngineKernel.answer_what_was_left`` has the last
    word.
    """
    value: Any = None
    error: BaseException | None = None
    done = late = False
    try:
        try:
            _set_handler(signal.SIGINT, signal.default_int_handler)
            if _enter():
                raise KeyboardInterrupt
            value = call()
            done = True
            _set_handler(signal.SIGINT, remember)
        except BaseException as raised:  # noqa: BLE001 - raised again below
            error, late = raised, done
            _set_handler(signal.SIGINT, remember)
    except KeyboardInterrupt as again:
        error, late = error or again, True
        try:
            while True:
                try:
                    _set_handler(signal.SIGINT, remember)
                    break
                except KeyboardInterrupt:
                    continue  # one more of a burst: Python looks for signals before it changes this
        except KeyboardInterrupt:  # between two tries
            _set_handler(signal.SIGINT, remember)
    _Requests.inside = None
    if late:
        remember(signal.SIGINT, None)
    if not done and error is not None:
        raise error
    return value  # type: ignore[no-any-return]


class Cancellation:
    """Whether the code that is awaited, or was awaited last, was interrupted. One per process."""

    interrupted = False
    #: Its error is being rendered, which takes a while and must not be interrupted.
    shown = False


@contextmanager
def cancel_on_sigint(future: asyncio.Future[Any]) -> Iterator[None]:
    """On SIGINT cancel the future, or raise KeyboardInterrupt in the task that is running.

    ``call_soon_threadsafe`` wakes the loop; ipykernel 7.4 cancels when the next message arrives.
    Code that keeps the loop from cancelling, such as a task that calls ``time.sleep``, is
    interrupted by KeyboardInterrupt.
    """
    loop = asyncio.get_running_loop()
    Cancellation.interrupted = Cancellation.shown = False
    watch = _Watch(loop, future)

    def on_sigint(signum: int, frame: FrameType | None) -> None:
        Cancellation.interrupted = True
        running = asyncio.current_task(loop)
        if not watch.loop_is_stuck:
            _thread.start_new_thread(watch.until_the_loop_turns, ())  # a Thread would take a lock
        if running is None:
            if watch.loop_is_stuck and _in_users_callback(frame):
                raise KeyboardInterrupt
        elif _is_in_its_code(running, frame) and (
            running is future or not _is_of_the_kernel(running.get_coro())
        ):
            raise KeyboardInterrupt  # user code that is not awaiting
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
    """Finds out whether a loop calls its callbacks after an interrupt."""

    def __init__(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> None:
        self._loop = loop
        self._future = future
        self.loop_is_stuck = False
        self.over = False

    def until_the_loop_turns(self) -> None:
        """Interrupt the main thread again as long as it does not return to the loop.

        The interrupted code may have ended and left a callback that blocks.
        """
        main = threading.main_thread().ident or 0
        while True:
            # Not an Event: a KeyboardInterrupt can leave its lock taken. This can go with Python
            # 3.15 as the oldest: https://github.com/python/cpython/issues/148874
            turned: queue.SimpleQueue[None] = queue.SimpleQueue()
            try:
                self._loop.call_soon_threadsafe(turned.put, None)
            except RuntimeError:
                return  # the loop is closed, as the process ends
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


def _is_in_its_code(task: asyncio.Task[Any], frame: FrameType | None) -> bool:
    """Tell whether the code of a task runs, and not what the loop does for it before and after.

    When the code has ended, the task still counts as running while those who wait for it are told.
    An exception there, in ``call_soon`` of the loop, would leave them waiting for ever.
    """
    if task.done():
        return False
    coroutine = task.get_coro()
    if not hasattr(coroutine, "cr_frame"):
        return True  # it is not written in Python, and nobody can tell
    while frame is not None:
        if frame is coroutine.cr_frame:
            return True
        frame = frame.f_back
    return False


def _in_users_callback(frame: FrameType | None) -> bool:
    """Tell whether the loop is calling a callback of the user's.

    A KeyboardInterrupt in a callback of the kernel could lose a message.
    """
    while frame is not None:
        if frame.f_code is asyncio.Handle._run.__code__:
            callback = frame.f_locals["self"]._callback
            return not _is_of_the_kernel(getattr(callback, "func", callback))
        frame = frame.f_back
    return False


def _is_of_the_kernel(thing: object) -> bool:
    """Tell whether a callback or coroutine belongs to the libraries that drive the kernel."""
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
    """Await user code. An interrupt raises KeyboardInterrupt, even though it cancels the code."""

    async def shield_loop() -> tuple[T | None, BaseException | None]:
        # asyncio lets a KeyboardInterrupt that leaves a task leave the event loop, too.
        try:
            return await coroutine, None
        except BaseException as error:  # noqa: BLE001 - raised again below
            return None, error

    task = asyncio.ensure_future(shield_loop())
    with cancel_on_sigint(task):
        try:
            value, error = await task
        except asyncio.CancelledError as cancelled:  # cancelled before the task had begun
            coroutine.close()
            value, error = None, cancelled
    if isinstance(error, asyncio.CancelledError) and Cancellation.interrupted:
        raise KeyboardInterrupt from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]
