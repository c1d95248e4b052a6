"""waiting.py without a fleet."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION
from typing import Any

import pytest

from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.results.replies import Reply
from kernelfleet.client.results.waiting import as_completed, wait
from kernelfleet.errors import CallTimeout, NotAPendingResult
from tests.client.results.test_pending import make

GOOD = Reply({"results": [{"id": 0, "ok": True}]}, [])
BAD = Reply({"results": [{"id": 0, "ok": False, "error": {"ename": "E", "evalue": ""}}]}, [])


def several(n: int) -> tuple[list[PendingResult[Any]], list[PendingResult[Any]]]:
    """Results, once to be waited for and once to be settled."""
    made = [make() for _ in range(n)]
    return made, made


def test_wait_returns_all_in_the_order_given() -> None:
    (a, b, c), futures = several(3)
    for future in reversed(futures):
        future.set_result(GOOD)
    assert wait([b, a, c, b]) == ([b, a, c], [])


def test_wait_ends_with_the_first_or_with_the_first_error() -> None:
    (a, b, c), futures = several(3)
    futures[1].set_result(GOOD)
    assert wait([a, b], return_when=FIRST_COMPLETED).done == [b]
    threading.Timer(0.01, futures[2].set_result, [BAD]).start()
    assert wait([a, b, c], return_when=FIRST_EXCEPTION) == ([b, c], [a])


def test_a_timeout_of_wait_is_no_error() -> None:
    (a, b), futures = several(2)
    futures[0].set_result(BAD)
    assert wait((each for each in (a, b)), timeout=0) == ([a], [b])
    assert wait([], timeout=0) == ([], [])


def test_as_completed_yields_each_once_as_it_ends() -> None:
    (a, b, c), futures = several(3)
    futures[2].set_result(GOOD)
    ended = as_completed([a, b, c, a])
    assert next(ended) is c
    futures[1].set_result(BAD)
    assert next(ended) is b
    futures[0].set_result(GOOD)
    assert list(ended) == [a]
    assert list(as_completed([])) == []


def test_as_completed_says_how_far_it_was_when_time_is_up() -> None:
    (a, b), futures = several(2)
    futures[0].set_result(GOOD)
    ended = as_completed([a, b], timeout=0.01)
    assert next(ended) is a
    with pytest.raises(CallTimeout, match=r"1 of 2 results were done after 0.01 s") as caught:
        next(ended)
    assert caught.value.pending_result is b


def test_other_things_are_refused() -> None:
    with pytest.raises(NotAPendingResult):
        wait([3])  # type: ignore[arg-type]
    with pytest.raises(NotAPendingResult):
        list(as_completed(["x"]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="return_when"):
        wait([], return_when="NEVER")
