"""mapping.py in a simulated clock: runs, lazy maps and their bounds, options."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kernelfleet.client.mapping.map_run import (
    BUFFERED_BATCHES,
    MIN_BUFFERED,
    MapRun,
    iterate,
    present,
)
from kernelfleet.client.mapping.options import MapOptions
from kernelfleet.errors import CompositeError, EngineDied, UnsupportedOperation
from kernelfleet.session.future import Future
from tests.client.simulated import SimulatedFleet


def run_of(fleet: SimulatedFleet, items: list[Any], **options: Any) -> MapRun:
    engines, chosen = list(fleet.roster.ids), MapOptions(**options)
    return MapRun(fleet.connection, engines, abs, items, chosen, star=False, label="map")


def finish(run: MapRun, fleet: SimulatedFleet) -> list[Any]:
    """Run it here, with the clock moved whenever it waits."""
    dispatcher, step = run.dispatcher, run.dispatcher.step

    def step_or_advance(timeout: float | None = None) -> bool:
        while not step(timeout=0):
            fleet.advance()
        return True

    dispatcher.step = step_or_advance  # type: ignore[method-assign]
    future: Future[Any] = Future()
    run.run(future)
    return list(future.result(0))


def lazily(fleet: SimulatedFleet, items: Iterator[Any], **options: Any) -> Iterator[Any]:
    engines, ordered = list(fleet.roster.ids), options.pop("ordered", True)
    chosen = MapOptions(**options)
    return iterate(
        fleet.connection, engines, abs, items, chosen, star=False, ordered=ordered, label="imap"
    )


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> SimulatedFleet:
    """A fleet whose clock moves when a lazy map waits."""
    fleet = SimulatedFleet(4)
    from kernelfleet.client.mapping.dispatch import Dispatcher

    step = Dispatcher.step

    def step_or_advance(self: Dispatcher, timeout: float | None = None) -> bool:
        if timeout == 0:
            return step(self, timeout=0)
        while not step(self, timeout=0):
            fleet.advance()
        return True

    monkeypatch.setattr(Dispatcher, "step", step_or_advance)
    return fleet


def test_a_run_gives_the_values_in_order() -> None:
    fleet = SimulatedFleet(3)
    items = [0.3, 0.0, 0.2, 0.1] * 10
    assert finish(run_of(fleet, items), fleet) == items
    assert finish(run_of(fleet, []), fleet) == []


def test_a_static_run_makes_one_block_per_engine() -> None:
    fleet = SimulatedFleet(3)
    items = [0.1] * 7
    assert finish(run_of(fleet, items, schedule="static"), fleet) == items
    assert fleet.sizes == [3, 2, 2]
    assert fleet.cancels == 0


def test_a_static_block_runs_elsewhere_when_its_engine_dies() -> None:
    fleet = SimulatedFleet(2)
    run = run_of(fleet, [1.0] * 4, schedule="static")
    run.dispatcher.fill()
    fleet.kill(0)
    assert finish(run, fleet) == [1.0] * 4


def test_with_chunksize_batches_are_that_large() -> None:
    fleet = SimulatedFleet(2)
    finish(run_of(fleet, [1.0] * 10, chunksize=4), fleet)
    assert fleet.sizes == [4, 4, 2]


def test_none_left_is_the_death_of_the_items_that_ran() -> None:
    fleet = SimulatedFleet(1)
    run = run_of(fleet, [1.0] * 1000)
    run.dispatcher.fill()
    fleet.kill(0)
    with pytest.raises(CompositeError) as caught:
        finish(run, fleet)
    assert all(isinstance(each, EngineDied) for each in caught.value.exceptions)
    assert len(caught.value.exceptions) <= 2


def test_what_is_no_items_fault_is_raised_as_it_is() -> None:
    fleet = SimulatedFleet(1)
    fleet.refusal = {"ename": "UnsupportedOperation", "evalue": "no"}
    with pytest.raises(UnsupportedOperation):
        finish(run_of(fleet, [1.0] * 3), fleet)


def test_a_bug_here_does_not_leave_anybody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(SimulatedFleet(1), [1.0])
    monkeypatch.setattr(run.dispatcher, "fill", lambda: 1 / 0)
    future: Future[Any] = Future()
    run.start(future)
    assert isinstance(future.exception(10), ZeroDivisionError)


def test_cancelling_a_run_that_has_ended_does_not_wait() -> None:
    fleet = SimulatedFleet(1)
    run = run_of(fleet, [0.0])
    finish(run, fleet)
    thread = threading.Thread(target=run.cancel, kwargs={"interrupt": True})
    thread.start()
    thread.join(1)
    assert not thread.is_alive()


def test_a_lazy_map_is_in_order_or_as_they_come(moving: SimulatedFleet) -> None:
    items = [0.5, 0.0, 0.1, 0.4, 0.0] * 20
    assert list(lazily(moving, iter(items))) == items
    unordered = list(lazily(moving, iter(items), ordered=False))
    assert unordered != items
    assert sorted(unordered) == sorted(items)


def test_a_million_items_keep_a_bounded_number_in_flight(moving: SimulatedFleet) -> None:
    given = taken = ahead = 0

    def items() -> Iterator[float]:
        nonlocal given
        for _ in range(1_000_000):
            given += 1
            yield 1e-5

    for _ in lazily(moving, items()):
        taken += 1
        ahead = max(ahead, given - taken)
        if taken == 50_000:
            break
    assert taken == 50_000
    assert ahead <= 20_000


def test_slow_items_are_taken_only_a_little_ahead(moving: SimulatedFleet) -> None:
    given = 0

    def items() -> Iterator[float]:
        nonlocal given
        while True:
            given += 1
            yield 1.0

    values = lazily(moving, items())
    assert [next(values) for _ in range(8)] == [1.0] * 8
    assert given <= 8 + BUFFERED_BATCHES * MIN_BUFFERED


def test_closing_a_lazy_map_stops_its_work(moving: SimulatedFleet) -> None:
    values = lazily(moving, iter([1.0] * 100))
    next(values)
    before = moving.cancels
    values.close()  # type: ignore[attr-defined]
    assert moving.cancels > before


def test_nothing_is_sent_before_the_first_value_is_wanted(moving: SimulatedFleet) -> None:
    lazily(moving, iter([1.0]))
    assert moving.sizes == []


def test_who_takes_part_is_asked_anew() -> None:
    fleet = SimulatedFleet(3)
    here = present(fleet.connection, [2, 1])
    assert here() == [2, 1]
    fleet.kill(1)
    assert here() == [2]
    fleet.roster.ids.append(1)
    assert here() == [2, 1]
