"""Waiting for several PendingResults: ``wait`` and ``as_completed``, as in concurrent.futures."""

from __future__ import annotations

import concurrent.futures
import queue
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kernelfleet.client.results.pending import PendingResult
from kernelfleet.errors.tree import CallTimeout, NotAPendingResult

FIRST_COMPLETED = concurrent.futures.FIRST_COMPLETED
FIRST_EXCEPTION = concurrent.futures.FIRST_EXCEPTION
ALL_COMPLETED = concurrent.futures.ALL_COMPLETED
_WHEN = (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED)


class Waited(NamedTuple):
    """What ``wait`` returns, in the order given."""

    done: list[PendingResult]
    not_done: list[PendingResult]


def wait(
    pending_results: Iterable[PendingResult],
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
) -> Waited:
    """Wait for results, good or bad; their errors come when they are fetched.

    Args:
        pending_results: Any iterable of them, of one client or several.
        timeout: Seconds; None means no limit. It is no error when it expires.
        return_when: ``ALL_COMPLETED``, ``FIRST_COMPLETED`` or ``FIRST_EXCEPTION``.
    """
    results = _checked(pending_results)
    if return_when not in _WHEN:
        raise ValueError(f"return_when is one of {', '.join(_WHEN)}, not {return_when!r}")
    finished = _Finished(results)
    deadline = None if timeout is None else time.monotonic() + timeout
    while finished.left:
        latest = finished.next(deadline)
        if latest is None or return_when == FIRST_COMPLETED:
            break
        if return_when == FIRST_EXCEPTION and latest.failed():
            break
    done = [each for each in results if each.done()]
    return Waited(done, [each for each in results if not each.done()])


def as_completed(
    pending_results: Iterable[PendingResult], timeout: float | None = None
) -> Iterator[PendingResult]:
    """Each result as it ends, good or bad.

    Raises:
        CallTimeout: ``timeout`` seconds passed before all had ended.
    """
    results = _checked(pending_results)
    finished = _Finished(results)
    deadline = None if timeout is None else time.monotonic() + timeout
    total = len(results)
    while finished.left:
        latest = finished.next(deadline)
        if latest is None:
            text = f"{total - finished.left} of {total} results were done after {timeout:g} s"
            raise CallTimeout(text, pending_result=next(r for r in results if not r.done()))
        yield latest


class _Finished:
    """The results in the order in which they end."""

    def __init__(self, results: list[PendingResult]) -> None:
        self._queue: queue.SimpleQueue[PendingResult] = queue.SimpleQueue()
        self.left = len(results)
        for each in results:
            each.add_done_callback(self._queue.put)

    def next(self, deadline: float | None) -> PendingResult | None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            latest = self._queue.get(timeout=left)
        except queue.Empty:
            return None
        self.left -= 1
        return latest


def _checked(pending_results: Iterable[PendingResult]) -> list[PendingResult]:
    results = list(dict.fromkeys(pending_results))
    for each in results:
        if not isinstance(each, PendingResult):
            raise NotAPendingResult(f"a PendingResult is waited for, not {each!r}")
    return results
