"""pace.py: how many tasks the next batch has."""

from __future__ import annotations

import pytest

pytest.importorskip("joblib")

from kernelfleet.joblib.pace import GROWTH, MAX_BATCH_BYTES, TARGET_SECONDS, Pace


def run(pace: Pace, seconds_per_task: float, batches: int) -> list[int]:
    """The sizes of batches of tasks that all take so long."""
    sizes = []
    for _ in range(batches):
        sizes.append(pace.size)
        pace.record(pace.size, pace.size * seconds_per_task)
    return sizes


def test_batches_of_quick_tasks_grow_until_they_take_long_enough() -> None:
    sizes = run(Pace(), 1e-6, 6)
    assert sizes[:3] == [1, GROWTH, GROWTH**2]
    assert sizes[-1] == sizes[-2]
    assert TARGET_SECONDS / 2 <= sizes[-1] * 1e-6 <= TARGET_SECONDS


@pytest.mark.parametrize("seconds", [0.05, 0.5, 60.0])
def test_tasks_that_take_long_travel_alone(seconds: float) -> None:
    assert run(Pace(), seconds, 4) == [1] * 4


def test_a_batch_that_takes_too_long_makes_the_next_ones_smaller() -> None:
    pace = Pace(size=100)
    pace.record(100, 5.0)
    assert pace.size == 2
    pace.record(100, 5.0)  # one that was under way
    assert pace.size == 2
    pace.record(2, 90.0)
    assert pace.size == 1


def test_batches_grow_no_larger_than_what_travels_well() -> None:
    pace = Pace()
    pace.weigh(1, MAX_BATCH_BYTES // 3)
    assert run(pace, 1e-6, 3)[-1] == 3


def test_tasks_are_quick_when_so_many_of_them_are_not_worth_a_request() -> None:
    pace = Pace()
    assert not pace.is_quick(1)
    pace.record(10, 0.01)
    assert pace.is_quick(9)
    assert not pace.is_quick(10)
    pace.record(0, 1.0)  # an empty batch says nothing
    assert pace.is_quick(9)
