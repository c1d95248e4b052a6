"""schedule.py: sizes of batches and who gets them, alone and driven in a simulated clock."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kernelfleet.client.mapping.schedule import (
    BUDGET_SECONDS,
    DEPTH,
    GROWTH,
    MAX_BATCH_BYTES,
    MAX_ITEMS,
    TARGET_SECONDS,
    Assignment,
    BatchSizer,
)
from tests.client.simulated import Collector, Items, SimulatedFleet, drive, make

durations = st.lists(st.floats(0, 2), max_size=200)


def best_possible(items: list[float], engines: int) -> float:
    """No schedule is shorter than this."""
    return max([sum(items) / engines, *items, 0.0])


@settings(max_examples=60)
@given(durations, st.integers(1, 6))
def test_no_item_is_lost_and_batches_stay_bounded(items: list[float], engines: int) -> None:
    fleet, collector = SimulatedFleet(engines), Collector()
    drive(make(fleet, Items(items), collector), fleet)
    assert collector.values == dict(enumerate(items))
    assert not collector.errors
    assert max(fleet.sizes, default=0) <= MAX_ITEMS


@settings(max_examples=60)
@given(durations, st.integers(1, 6))
def test_the_end_comes_at_most_one_item_and_one_batch_after_the_ideal(
    items: list[float], engines: int
) -> None:
    fleet = SimulatedFleet(engines, overhead=0)
    end = drive(make(fleet, Items(items), Collector()), fleet)
    # Whoever hands out work in the order given can promise no more: the last item may be long.
    assert end <= sum(items) / engines + max(items, default=0) + BUDGET_SECONDS + 1e-6


@settings(max_examples=40)
@given(st.integers(0, 12), st.integers(2, 6), st.floats(0.01, 0.1))
def test_one_long_item_among_many_short_ones_costs_little(
    position: int, engines: int, short: float
) -> None:
    items = [short] * 40
    items[position] = 40 * short / engines  # as long as all others together take
    fleet = SimulatedFleet(engines, overhead=0)
    end = drive(make(fleet, Items(items), Collector()), fleet)
    before = position // engines * short  # it cannot begin before those in front of it
    assert end <= 1.1 * (best_possible(items, engines) + before) + 2 * short


def test_what_waits_behind_a_long_item_is_taken_back() -> None:
    fleet = SimulatedFleet(4, overhead=0)
    end = drive(make(fleet, Items([1.0, *[0.05] * 39]), Collector()), fleet)
    assert end == 1.0
    assert fleet.cancels > 0


def test_trivial_items_travel_by_the_thousand() -> None:
    fleet = SimulatedFleet(4, overhead=0.0005)
    drive(make(fleet, Items([1e-6] * 100_000), Collector()), fleet)
    assert len(fleet.sizes) < 100
    assert max(fleet.sizes) > 1000


def test_what_waits_behind_somebody_elses_command_moves_to_a_free_engine() -> None:
    fleet, collector = SimulatedFleet(3, overhead=0), Collector()
    fleet.occupy(0, 100.0)
    end = drive(make(fleet, Items([0.5] * 12), collector), fleet)
    assert len(collector.values) == 12
    assert end <= 4.0


def test_what_an_engine_may_have_begun_is_asked_back_only_when_nothing_comes_for_a_while() -> None:
    fleet, collector = SimulatedFleet(3, overhead=0), Collector()
    dispatcher = make(fleet, Items([0.5]), collector)
    dispatcher.fill()
    fleet.advance()
    assert dispatcher.step()
    assert collector.values == {0: 0.5}
    assert fleet.cancels == 0
    fleet.occupy(0, 100.0)
    dispatcher = make(fleet, Items([0.5]), Collector())
    dispatcher.fill()
    assert dispatcher.step()  # word that the engine has not begun with it
    assert fleet.cancels == 1
    dispatcher.fill()
    assert [len(queue) for queue in fleet.queues.values()] == [1, 1, 0]


def test_nothing_goes_round_in_circles_when_all_engines_are_occupied() -> None:
    fleet, collector = SimulatedFleet(3, overhead=0), Collector()
    for engine in range(3):
        fleet.occupy(engine, 5.0 + engine)
    drive(make(fleet, Items([0.5]), collector), fleet)
    assert collector.values == {0: 0.5}
    assert fleet.cancels <= 3


def test_the_first_batch_has_one_item_and_growth_is_limited() -> None:
    sizer = BatchSizer(4)
    assert sizer.size(0, 1000) == 1
    sizer.record(0, 1, 1e-9, 10)
    assert sizer.size(0, None) == GROWTH
    assert sizer.size(1, None) == 1  # another engine is another pace


@given(st.floats(1e-7, 10), st.integers(1, 10**6), st.integers(1, 64))
def test_a_batch_is_planned_for_the_target_time_and_size(
    seconds_per_item: float, bytes_per_item: int, engines: int
) -> None:
    sizer = BatchSizer(engines)
    for _ in range(20):
        size = sizer.size(0, None)
        sizer.record(0, size, size * seconds_per_item, size * bytes_per_item)
    size = sizer.size(0, None)
    assert 1 <= size <= MAX_ITEMS
    assert size == 1 or size * seconds_per_item <= TARGET_SECONDS * 1.01
    assert size == 1 or size * bytes_per_item <= MAX_BATCH_BYTES * 1.01


def test_batches_shrink_towards_the_end_and_chunksize_is_final() -> None:
    sizer = BatchSizer(4)
    sizer.record(0, 50, 0.05, 50)
    assert sizer.size(0, 10_000) == 50
    assert sizer.size(0, 80) == 80 / (4 * DEPTH)
    assert sizer.size(0, 8) == 2  # fewer are not worth a message
    assert BatchSizer(4, chunksize=7).size(0, 3) == 7


def test_an_assignment_fills_the_least_loaded_engine_first() -> None:
    assignment: Assignment[str] = Assignment([0, 1])
    given_to = []
    a, b, c, d, e = batches = list("abcde")
    for batch in batches:
        engine = assignment.next_engine()
        if engine is not None:
            assignment.add(engine, batch)
            given_to.append(engine)
    assert given_to == [0, 1, 0, 1]
    assert assignment.waiting() == [(0, c), (1, d)]
    assert assignment.first() == [(0, a), (1, b)]
    assert assignment.next_engine([1]) is None
    assert assignment.remove(0, c) is False
    assert assignment.remove(0, a) is True
    assert e not in assignment.in_flight()
    assert assignment.idle() == [0]


def test_an_engine_that_leaves_may_finish_what_it_has() -> None:
    assignment: Assignment[str] = Assignment([0, 1])
    assignment.add(0, "a")
    assignment.set_engines([1, 2])
    assert assignment.engines == [1, 2]
    assert assignment.in_flight() == ["a"]
    assert assignment.next_engine() == 1
    assert assignment.remove(0, "a")
    assignment.set_engines({*assignment.engines} - {1})
    assert assignment.engines == [2]
    assignment.set_engines([0, 2])
    assert assignment.idle() == [2, 0]


def test_an_occupied_engine_is_asked_last() -> None:
    assignment: Assignment[str] = Assignment([0, 1])
    assignment.occupied.add(0)
    assert assignment.next_engine() == 1
    assert assignment.idle() == [1]
    assignment.add(1, "a")
    assert assignment.next_engine() == 0


def test_on_an_engine_that_is_at_work_nothing_is_given_to_others_that_are() -> None:
    assignment: Assignment[str] = Assignment([0, 1, 2], own=1)
    assignment.occupied = {2}
    assert assignment.next_engine([2]) == 2
    assignment.occupied = {1, 2}
    assert assignment.next_engine([1, 2]) is None
    assert assignment.next_engine() == 0
    assignment.add(0, "batch")
    assert assignment.next_engine() is None  # and none waits behind another


def test_what_is_worth_taking_back_is_as_much_as_there_are_idle_engines() -> None:
    assignment: Assignment[str] = Assignment([0, 1, 2])
    for batch in ("first", "second"):
        assignment.add(0, batch)
        assignment.add(1, batch + "'")
    every = list(assignment.worth_taking_back(lambda *_: True))
    assert len(every) == 1
    assert every[0] in ("second", "second'")
    assert list(assignment.worth_taking_back(lambda batch, idle: batch == "first")) == ["first"]
    assignment.occupied = {2}
    assert list(assignment.worth_taking_back(lambda *_: True)) == []


def test_a_batch_never_grows_beyond_its_bytes() -> None:
    sizer = BatchSizer(1)
    for _ in range(5):  # items so quick that nothing else bounds the size
        sizer.record(0, 8192, 1e-6, 8192 * 100_000)
    assert sizer.size(0, None) == MAX_BATCH_BYTES // 100_000


def test_a_pace_follows_what_is_measured_by_halves_and_forgets_large_items_slowly() -> None:
    sizer = BatchSizer(1)
    sizer.record(0, 1000, 1000 * 0.001, 0)
    assert sizer.size(0, None) == 50
    sizer.record(0, 1000, 1000 * 0.004, 0)
    assert sizer.size(0, None) == 20  # 2.5 ms each
    sizer = BatchSizer(1)
    sizer.record(0, 1, 0.0, MAX_BATCH_BYTES)
    sizer.record(0, 8, 0.0, 0)
    assert sizer.size(0, None) == 2
    sizer.record(0, 8, 0.0, 0)
    assert sizer.size(0, None) == 4


def test_a_clock_that_goes_back_and_an_empty_batch_teach_nothing_wrong() -> None:
    sizer = BatchSizer(1)
    sizer.record(0, 0, 5.0, 5)
    assert sizer.size(0, None) == 1
    sizer.record(0, 10, -1.0, 0)
    sizer.record(0, 10, 10 * 0.002, 0)
    assert sizer.size(0, None) == 50  # 1 ms each: half of 2 ms, and of nothing


def test_an_engine_that_left_gets_nothing_more_even_if_it_is_asked_for() -> None:
    assignment: Assignment[str] = Assignment([0, 1])
    assignment.add(0, "a")
    assignment.set_engines([1])
    assert assignment.next_engine([0]) is None
    assert assignment.next_engine([0, 1]) == 1


def test_engines_that_left_are_forgotten_when_they_have_nothing_any_more() -> None:
    assignment: Assignment[str] = Assignment([0, 1, 2])
    assignment.add(0, "a")
    assignment.add(0, "b")
    assignment.set_engines([1])
    assert set(assignment._batches) == {0, 1}
    assignment.remove(0, "a")
    assert assignment.in_flight() == ["b"]
    assignment.remove(0, "b")
    assert set(assignment._batches) == {1}


def test_what_is_behind_most_others_is_taken_back_first_and_the_last_of_an_engine_before_it() -> (
    None
):
    assignment: Assignment[str] = Assignment([0, 1, 2, 3])
    for engine, batches in {0: "ab", 1: "cdef", 2: "g"}.items():
        for batch in batches:
            assignment.add(engine, batch)
    assert assignment.waiting() == [(1, "f"), (1, "e"), (1, "d"), (0, "b")]
    assert list(assignment.worth_taking_back(lambda *_: True)) == ["f"]


def test_as_many_batches_move_as_engines_idle_and_those_that_suit_none_stay() -> None:
    assignment: Assignment[str] = Assignment([0, 1, 2, 3])
    for engine, batches in {0: "ab", 1: "cd"}.items():
        for batch in batches:
            assignment.add(engine, batch)
    seen: list[tuple[str, set[int]]] = []

    def suits(batch: str, idle: set[int]) -> bool:
        seen.append((batch, idle))
        return batch != "d"

    assert list(assignment.worth_taking_back(suits)) == ["b", "a", "c"]  # the first ones fill none
    assert all(idle == {2, 3} for _, idle in seen)
    assert list(assignment.worth_taking_back(lambda *_: True)) == ["b", "d"]
