"""Ctrl-C is not lost while a call is waited for, and does not interrupt a start or an end half-way.

Python raises KeyboardInterrupt wherever the main thread is at that moment. An exception in a
destructor cannot propagate: Python shows it as "Exception ignored in" and forgets it, and the
engines would work on. (A long garbage collection ends with destructors, so this is not rare while
much output arrives.) ``kept`` raises such a KeyboardInterrupt again.

Python looks for signals and then blocks. A Ctrl-C in between is noticed when the wait ends, which
on a busy machine happened to one in some thousand that came as a wait began. So whoever may wait
for long does it in pieces: ``pieces``, ``get_from``.

In the middle of a start or a stop, or while an earlier Ctrl-C is cleaned up after, it would leave a
thread, descriptors, and a directory with a key behind. ``held`` notes the Ctrl-C, and raises
KeyboardInterrupt when the block has ended.
"""

from __future__ import annotations

import _thread
import concurrent.futures
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

#: How long a wait may go on until Python looks for signals again, in seconds.
LOOK_SECONDS = 0.5
#: The same in other threads, which get none and are not to wake for nothing.
UNDISTURBED_SECONDS = 3600.0

#: Delay before SIGINT is sent again. Python checks for signals just before it blocks in a system
#: call; a signal in that gap would be noticed only when the wait ends.
_BACK_SECONDS = 0.02

#: Seconds after the first Ctrl-C from which on another one interrupts what does not end.
PATIENCE_SECONDS = 10.0


def pieces(timeout: float | None) -> Iterator[float]:
    """Cut a wait of ``timeout`` seconds (None: without end) into pieces, at least one."""
    in_main = threading.current_thread() is threading.main_thread()
    longest = LOOK_SECONDS if in_main else UNDISTURBED_SECONDS
    end = None if timeout is None else time.monotonic() + timeout
    while end is None:
        yield longest
    while True:
        left = end - time.monotonic()
        yield max(0.0, min(left, longest))
        if left <= longest:
            return


def get_from(source: queue.SimpleQueue[T], timeout: float | None = None) -> T:
    """``source.get`` that notices each Ctrl-C; ``queue.Empty`` if nothing has come in time."""
    for seconds in pieces(timeout):
        try:
            return source.get(timeout=seconds)
        except queue.Empty:
            continue
    raise queue.Empty


def _interrupt() -> None:
    time.sleep(_BACK_SECONDS)
    if hasattr(signal, "pthread_kill"):  # ends a wait, which ``interrupt_main`` does not
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


@contextmanager
def kept() -> Iterator[None]:
    """Within the block: raise a KeyboardInterrupt again that a destructor has swallowed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = sys.unraisablehook

    def again(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            # From another thread: here it would be raised in this very function, and be lost too.
            _thread.start_new_thread(_interrupt, ())
        else:
            before(unraisable)

    sys.unraisablehook = again
    try:
        yield
    finally:
        if sys.unraisablehook is again:
            sys.unraisablehook = before


class Hold:
    """A handler of SIGINT that notes Ctrl-C in place of raising KeyboardInterrupt."""

    def __init__(self) -> None:
        self._first: float | None = None
        #: Called at the first Ctrl-C; the innermost block's function is last.
        self._give_up: list[Callable[[], object]] = []

    @property
    def pressed(self) -> bool:
        """Whether Ctrl-C has come."""
        return self._first is not None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Handle Ctrl-C: the first cancels what is running; one much later is raised at once."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
            for give_up in self._give_up:
                give_up()
        elif now - self._first > PATIENCE_SECONDS:
            signal.default_int_handler(signum, frame)

    @contextmanager
    def giving_up(self, give_up: Callable[[], object] | None) -> Iterator[None]:
        """Within the block: call ``give_up`` at Ctrl-C, or now if it has been pressed already."""
        if give_up is None:
            yield
            return
        self._give_up.append(give_up)
        try:
            if self.pressed:
                give_up()
            yield
        finally:
            self._give_up.remove(give_up)


@contextmanager
def held(give_up: Callable[[], object] | None = None) -> Iterator[Hold]:
    """Delay Ctrl-C: KeyboardInterrupt is raised when the block has ended, or has been given up.

    A program with a SIGINT handler of its own keeps that handler, and nothing is delayed.

    Args:
        give_up: Called at Ctrl-C, between any two steps of the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Hold()
        return
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, Hold):  # the outermost one raises
        with before.giving_up(give_up):
            yield before
        return
    if before is not signal.default_int_handler:
        yield Hold()
        return
    hold = Hold()
    signal.signal(signal.SIGINT, hold)
    try:
        with hold.giving_up(give_up):
            yield hold
    except KeyboardInterrupt:
        _let_go(hold)
        raise
    except concurrent.futures.CancelledError:
        _let_go(hold)
        if hold.pressed:  # what was given up was cancelled
            raise KeyboardInterrupt from None
        raise
    except BaseException:
        _let_go(hold)
        if hold.pressed:
            raise KeyboardInterrupt  # noqa: B904 (shown as what it came upon)
        raise
    _let_go(hold)
    if hold.pressed:
        raise KeyboardInterrupt


def _let_go(hold: Hold) -> None:
    if signal.getsignal(signal.SIGINT) is hold:
        signal.signal(signal.SIGINT, signal.default_int_handler)
