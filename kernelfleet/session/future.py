"""``concurrent.futures.Future`` for a thread that Ctrl-C may interrupt at any moment.

The standard one takes and releases its lock in Python code (``threading.Condition``, CPython 3.11
to 3.14). A KeyboardInterrupt in between leaves the lock taken. Then kernelfleet's own thread, and
with it every call of the process, waits for the lock for ever; that happened to one in some hundred
interrupts of a loop of short calls. Here only C code takes the lock, so that no interrupt can come
between taking it and releasing it.

It is a subclass: everything that the standard library does with futures works with these.
"""

from __future__ import annotations

import concurrent.futures
import threading
from _thread import RLock, allocate_lock
from typing import Any, TypeVar

from kernelfleet.session import ctrl_c
from kernelfleet.wire.objects.staying import StaysHere

T = TypeVar("T")


class _Condition(RLock):  # type: ignore[misc]  # final in typeshed only
    """As much of ``threading.Condition`` as a Future needs, whose ``with`` is that of C's RLock."""

    def __init__(self) -> None:
        self._waiters: list[Any] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock up until notified, or for ``timeout`` seconds; 0 or less is a look.

        The lock is taken again in any case: Python looks for interrupts behind a call and not
        before, so after ``waiter.acquire`` nothing comes before ``self.acquire``, which may be
        interrupted itself while it waits.
        """
        waiter = allocate_lock()
        waiter.acquire()
        self._waiters.append(waiter)
        try:
            try:
                self.release()
                notified = any(waiter.acquire(timeout=each) for each in ctrl_c.pieces(timeout))
            finally:
                self.acquire()
        except BaseException:
            if not self._is_owned():  # type: ignore[attr-defined]
                self.acquire()
            raise
        if waiter in self._waiters:  # the time is over
            self._waiters.remove(waiter)
        return notified

    def notify_all(self) -> None:
        """Wake all who wait; the caller owns the lock."""
        while self._waiters:
            self._waiters.pop().release()


class Future(StaysHere, concurrent.futures.Future[T]):
    """A Future whose lock an interrupt cannot leave taken."""

    _instead = "send its value, .result()"

    def __init__(self) -> None:
        super().__init__()
        self._condition: threading.Condition = _Condition()  # type: ignore[assignment]
