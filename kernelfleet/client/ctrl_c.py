"""Ctrl-C is not lost while a call is waited for.

Python raises KeyboardInterrupt wherever the main thread is just then. In a destructor (which a
long garbage collection ends with, so this is not rare while output pours in) it cannot go on: it
is shown as "Exception ignored in" and forgotten, and the engines work on.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds until the main thread is back in its wait. It lets us run just when it is about to enter
#: the system call, behind its last look for signals: one that came now would be seen after it.
_BACK_SECONDS = 0.02


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
