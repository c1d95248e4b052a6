"""base.py: workers are asked at the same time, and one that does not answer delays nobody."""

from __future__ import annotations

import threading
import time

from kernelfleet.clusters.base import in_parallel


def test_all_are_asked_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=10)
    assert in_parallel(lambda item: together.wait() >= 0 and item, "abc", 20) == {
        "a": "a", "b": "b", "c": "c",
    }  # fmt: skip


def test_an_error_is_the_outcome_of_its_item() -> None:
    outcomes = in_parallel(lambda item: 1 // item, [1, 0], 10)
    assert outcomes[1] == 1
    assert isinstance(outcomes[0], ZeroDivisionError)


def test_who_does_not_answer_in_time_is_a_timeout() -> None:
    never = threading.Event()
    began = time.monotonic()
    outcomes = in_parallel(lambda item: item == "good" or never.wait(60), ["good", "bad"], 0.2)
    assert time.monotonic() - began < 5
    assert outcomes["good"] is True
    assert isinstance(outcomes["bad"], TimeoutError)
    assert str(outcomes["bad"]) == "no answer within 0.2 s"
    never.set()
