"""dispatch.py in a simulated clock: deaths, refusals, requirements, cancelling."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelfleet.client.mapping.retries import RetryPolicy
from kernelfleet.client.mapping.schedule import DEPTH
from kernelfleet.errors import EngineDied, SerializationError, UnsupportedOperation
from tests.client.simulated import Collector, Items, SimulatedFleet, drive, make


@settings(max_examples=60)
@given(st.data())
def test_engines_that_die_lose_nothing_while_one_is_left(data: st.DataObject) -> None:
    items = data.draw(st.lists(st.floats(0, 1), min_size=1, max_size=60))
    engines = data.draw(st.integers(2, 5))
    fleet, collector = SimulatedFleet(engines), Collector()
    dispatcher = make(fleet, Items(items, policy=RetryPolicy(engines)), collector)
    deaths = sorted(data.draw(st.lists(st.integers(1, 40), max_size=engines - 1)))
    dispatcher.fill()
    steps = 0
    while dispatcher.busy:
        steps += 1
        while deaths and deaths[0] <= steps:
            deaths.pop()
            fleet.kill(data.draw(st.sampled_from(fleet.roster.ids)))
        if not dispatcher.step(timeout=0):
            fleet.advance()
        dispatcher.fill()
    assert collector.values == dict(enumerate(items))
    assert not collector.errors


def test_an_item_that_kills_engines_fails_when_its_retries_are_used_up() -> None:
    fleet, collector = SimulatedFleet(4), Collector()
    dispatcher = make(fleet, Items([1.0], policy=RetryPolicy(1)), collector)
    dispatcher.fill()
    for _ in range(2):
        (engine,) = (engine for engine, queue in fleet.queues.items() if queue)
        fleet.kill(engine)
        dispatcher.step()
        dispatcher.fill()
    assert isinstance(collector.errors[0], EngineDied)
    assert len(fleet.roster.ids) == 2


def test_what_only_waited_on_an_engine_that_died_has_used_up_no_retry() -> None:
    fleet, collector = SimulatedFleet(2), Collector()
    dispatcher = make(fleet, Items([1.0] * 4, policy=RetryPolicy(0)), collector, steals=False)
    dispatcher.fill()
    fleet.kill(0)
    drive(dispatcher, fleet)
    assert len(collector.errors) == 1
    assert len(collector.values) == 3


def test_none_left_fails_everything_with_the_last_death() -> None:
    fleet, collector = SimulatedFleet(2), Collector()
    dispatcher = make(fleet, Items([1.0] * 50), collector)
    dispatcher.fill()
    fleet.kill(0)
    fleet.kill(1)
    drive(dispatcher, fleet)
    assert len(collector.errors) == 50
    assert all(isinstance(error, EngineDied) for error in collector.errors.values())


def test_no_engine_at_all_fails_at_once() -> None:
    fleet, collector = SimulatedFleet(1), Collector()
    dispatcher = make(fleet, Items([1.0]), collector)
    fleet.kill(0)
    drive(dispatcher, fleet)
    assert "SIGKILL" in str(collector.errors[0])


def test_an_engine_that_comes_takes_part() -> None:
    fleet, collector = SimulatedFleet(2), Collector()
    fleet.roster.ids.remove(1)
    dispatcher = make(fleet, Items([1.0] * 20), collector)
    dispatcher.fill()
    fleet.roster.ids.append(1)
    assert drive(dispatcher, fleet) < 11


def test_an_engine_that_leaves_finishes_what_it_has() -> None:
    fleet, collector = SimulatedFleet(2), Collector()
    dispatcher = make(fleet, Items([1.0] * 4), collector)
    dispatcher.fill()
    fleet.roster.ids.remove(1)  # as `scale` does it: what was queued there still runs
    drive(dispatcher, fleet)
    assert len(collector.values) == 4


def test_what_only_some_engines_can_run_waits_for_them_and_holds_up_nobody() -> None:
    fleet, collector = SimulatedFleet(3), Collector()
    source = Items([1.0] * 30)
    for item in source.items[:10]:
        item.engines = frozenset({1})
    end = drive(make(fleet, source, collector), fleet)
    assert len(collector.values) == 30
    assert end < 11.5


def test_what_no_living_engine_can_run_fails_when_the_last_of_them_dies() -> None:
    fleet, collector = SimulatedFleet(2), Collector()
    source = Items([1.0] * 3)
    for item in source.items:
        item.engines = frozenset({1})
    dispatcher = make(fleet, source, collector)
    dispatcher.fill()
    fleet.kill(1)
    drive(dispatcher, fleet)
    assert all(isinstance(error, EngineDied) for error in collector.errors.values())
    assert len(collector.errors) == 3


def test_a_call_that_is_refused_as_a_whole_is_lost() -> None:
    fleet, collector = SimulatedFleet(2), Collector()
    fleet.refusal = {"ename": "UnsupportedOperation", "evalue": "not with bash"}
    dispatcher = make(fleet, Items([1.0] * 20), collector)
    drive(dispatcher, fleet)
    assert isinstance(dispatcher.lost, UnsupportedOperation)
    assert len(collector.errors) == 20


def test_an_item_that_cannot_be_pickled_fails_alone() -> None:
    fleet, collector = SimulatedFleet(1), Collector()
    items = [0.1, threading.Lock(), 0.1, threading.Lock(), 0.1]
    drive(make(fleet, Items(items), collector, chunksize=5), fleet)
    assert sorted(collector.values) == [0, 2, 4]
    assert all(isinstance(error, SerializationError) for error in collector.errors.values())
    with pytest.raises(SerializationError):
        make(fleet, Items([]), collector, function=threading.Lock())


def test_dropping_the_rest_leaves_what_runs() -> None:
    fleet, collector = SimulatedFleet(2), Collector()
    dispatcher = make(fleet, Items([1.0] * 50), collector)
    dispatcher.fill()
    assert dispatcher.items_in_flight == 2 * DEPTH
    dispatcher.drop_the_rest()
    drive(dispatcher, fleet)
    assert len(collector.values) == 2
    assert len(collector.errors) == 2
    assert all(isinstance(error, CancelledError) for error in collector.errors.values())


def test_the_function_travels_once_per_engine() -> None:
    fleet, collector = SimulatedFleet(3), Collector()
    drive(make(fleet, Items([0.2] * 50), collector), fleet)
    assert len(fleet._functions) == 3
