"""Waiting for several PendingResults: ``wait`` and ``as_completed``, as in concurrent.futures."""

from __future__ import annotations

import concurrent.futures
import queue
import time
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.targets import time_left
from kernelfleet.errors.tree import CallTimeout, NotAPendingResult
from kernelfleet.session import ctrl_c

FIRST_COMPLETED = concurrent.futures.FIRST_COMPLETED
FIRST_EXCEPTION = concurrent.futures.FIRST_EXCEPTION
ALL_COMPLETED = concurrent.futures.ALL_COMPLETED
T = TypeVar("T")
_WHEN = (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED)


class Waited(NamedTuple, Generic[T]):
    """What ``wait`` returns, in the order given."""

    done: list[PendingResult[T]]
    not_done: list[PendingResult[T]]


def wait(
    pending_results: Iterable[PendingResult[T]],
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
) -> Waited[T]:
    """Wait for results, good or bad; their errors come when they are fetched.

    Args:
        pending_results: Any iterable of them, of one client or several.
        timeout: Seconds; None means no limit. It is no error when it expires.
        return_when: ``ALL_COMPLETED``, ``FIRST_COMPLETED`` or ``FIRST_EXCEPTION``.

    Returns:
        ``done`` and ``not_done``, two lists in the order given.

    Raises:
        NotAPendingResult: something else was given.
        ValueError: ``return_when`` is none of the three.

    Example:
        >>> pending = [mec.execute("1", targets=each, block=False) for each in (0, 1)]
        >>> done, not_done = kernelfleet.wait(pending, timeout=10)
        >>> len(done), len(not_done)
        (2, 0)
    """
    results = _checked(pending_results)
    if return_when not in _WHEN:
        raise ValueError(f"return_when is one of {', '.join(_WHEN)}, not {return_when!r}")
    finished = _Finished(results)
    deadline = _deadline(timeout)
    while finished.left:
        latest = finished.next(deadline)
        if latest is None or return_when == FIRST_COMPLETED:
            break
        if return_when == FIRST_EXCEPTION and latest.failed():
            break
    done = [each for each in results if each.done()]
    return Waited(done, [each for each in results if not each.done()])


def as_completed(
    pending_results: Iterable[PendingResult[T]], timeout: float | None = None
) -> Iterator[PendingResult[T]]:
    """Each result as it ends, good or bad.

    Args:
        pending_results: Any iterable of them, of one client or several.
        timeout: Seconds for all together; None means no limit.

    Returns:
        An iterator of the same results, in the order in which they end.

    Raises:
        CallTimeout: ``timeout`` seconds passed before all had ended.
        NotAPendingResult: something else was given.

    Example:
        >>> pending = [mec.execute("1", targets=each, block=False) for each in (0, 1)]
        >>> [each.done() for each in kernelfleet.as_completed(pending, timeout=10)]
        [True, True]
    """
    results, deadline = _checked(pending_results), _deadline(timeout)

    def each() -> Iterator[PendingResult[T]]:
        finished, total = _Finished(results), len(results)
        while finished.left:
            latest = finished.next(deadline)
            if latest is None:
                text = f"{total - finished.left} of {total} results were done after {timeout:g} s"
                raise CallTimeout(text, pending_result=next(r for r in results if not r.done()))
            yield latest

    return each()  # the clock has run since the call, as in the standard library


def _deadline(timeout: float | None) -> float | None:
    left = time_left(timeout)
    return None if left is None else time.monotonic() + left


class _Finished(Generic[T]):
    """The results in the order in which they end."""

    def __init__(self, results: list[PendingResult[T]]) -> None:
        self._queue: queue.SimpleQueue[PendingResult[T]] = queue.SimpleQueue()
        self.left = len(results)
        for each in results:
            each.add_done_callback(self._queue.put)

    def next(self, deadline: float | None) -> PendingResult[T] | None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            latest = ctrl_c.get_from(self._queue, left)
        except queue.Empty:
            return None
        self.left -= 1
        return latest


def _checked(pending_results: Iterable[PendingResult[T]]) -> list[PendingResult[T]]:
    results = list(dict.fromkeys(pending_results))
    for each in results:
        if not isinstance(each, PendingResult):
            raise NotAPendingResult(f"a PendingResult is waited for, not {each!r}")
    return results
