"""outflow.py: who prints faster than it is read waits, and for nobody for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernelfleet.engine.output.outflow import (
    FLEET_BYTES,
    LEAST_BYTES,
    MOST_BYTES,
    PATIENCE_SECONDS,
    Outflow,
)


class Time:
    """Passes when somebody sleeps, and lets something happen then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.happens: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.happens()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def outflow(time: Time) -> Outflow:
    outflow = Outflow(lambda: time.now, time.sleep)
    outflow.confirmed = True
    return outflow


def test_what_fits_waits_for_nobody(outflow: Outflow, time: Time) -> None:
    outflow.sent(MOST_BYTES - 1)
    assert not outflow.is_full()
    outflow.wait()
    assert time.now == 0
    assert outflow.is_full(1)


def test_a_writer_waits_until_enough_was_read(outflow: Outflow, time: Time) -> None:
    outflow.sent(2 * MOST_BYTES)
    time.happens = lambda: outflow.read(MOST_BYTES // 4)
    outflow.wait()
    assert not outflow.is_full()
    assert 0 < time.now < PATIENCE_SECONDS


def test_what_is_written_and_not_yet_published_counts_too(outflow: Outflow, time: Time) -> None:
    unpublished = [MOST_BYTES]
    time.happens = unpublished.clear
    outflow.wait(lambda: sum(unpublished))
    assert 0 < time.now < PATIENCE_SECONDS


def test_a_controller_that_never_reads_lets_so_much_pass_in_a_second(
    outflow: Outflow, time: Time
) -> None:
    for n in range(1, 4):
        outflow.sent(MOST_BYTES)
        outflow.wait()
        assert time.now == pytest.approx(n * PATIENCE_SECONDS, abs=0.1)
    outflow.read(10 * MOST_BYTES)  # late word of it is worth nothing more
    outflow.sent(MOST_BYTES)
    assert outflow.is_full()


def test_nobody_waits_for_who_does_not_confirm() -> None:
    outflow = Outflow()
    outflow.sent(10 * MOST_BYTES)
    assert not outflow.is_full()


@pytest.mark.parametrize(
    ("n_engines", "share"),
    [(0, MOST_BYTES), (1, MOST_BYTES), (32, FLEET_BYTES // 32), (10_000, LEAST_BYTES)],
)
def test_many_engines_share_what_may_be_on_its_way(
    outflow: Outflow, n_engines: int, share: int
) -> None:
    outflow.share(n_engines)
    assert not outflow.is_full(share - 1)
    assert outflow.is_full(share)
