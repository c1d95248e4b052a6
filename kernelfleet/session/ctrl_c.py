"""Ctrl-C is not lost while a call is waited for, and breaks off no start and no end half-way.

Python raises KeyboardInterrupt wherever the main thread is just then. In a destructor (which a
long garbage collection ends with, so this is not rare while output pours in) it cannot go on: it
is shown as "Exception ignored in" and forgotten, and the engines work on. ``kept`` raises it again.

And in the middle of a start or a stop, or of what cleans up after an earlier Ctrl-C, it would leave
a thread, descriptors, and a directory with a key. ``held`` takes note of it, and raises it behind.
"""

from __future__ import annotations

import _thread
import concurrent.futures
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds until the main thread is back in its wait. It lets us run just when it is about to enter
#: the system call, behind its last look for signals: one that came now would be seen after it.
_BACK_SECONDS = 0.02

#: How long after the first Ctrl-C another one breaks off what does not end.
PATIENCE_SECONDS = 10.0


def _interrupt() -> None:
    time.sleep(_BACK_SECONDS)
    if hasattr(signal, "pthread_kill"):  # ends a wait, which ``interrupt_main`` does not
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


@contextmanager
def kept() -> Iterator[None]:
    """Raise a KeyboardInterrupt once more that a destructor has swallowed within."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = sys.unraisablehook

    def again(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            # from another thread: here it would be raised in this very function, and lost as well
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
    """Stands in for Python's handler of SIGINT, and takes note."""

    def __init__(self) -> None:
        self._first: float | None = None
        #: What is to be given up, innermost last.
        self._give_up: list[Callable[[], object]] = []

    @property
    def pressed(self) -> bool:
        """Whether Ctrl-C has come."""
        return self._first is not None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Ctrl-C: the first gives up what goes on; one much later is raised where we are."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
            for give_up in self._give_up:
                give_up()
        elif now - self._first > PATIENCE_SECONDS:
            signal.default_int_handler(signum, frame)

    @contextmanager
    def giving_up(self, give_up: Callable[[], object] | None) -> Iterator[None]:
        """Call it when Ctrl-C comes within, or at once if it has come already."""
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
    """Raise a KeyboardInterrupt that comes within when all is done, or has been given up.

    Whoever has a handler of his own for SIGINT keeps it, and answers for what it raises.

    Args:
        give_up: Called when it comes, between any two steps of the main thread.
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
