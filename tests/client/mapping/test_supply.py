"""supply.py: what waits again comes first, and what is run in an engine's place has no limit."""

from __future__ import annotations

from typing import Any

from kernelfleet.client.mapping.batches import Item
from kernelfleet.client.mapping.schedule import Assignment, BatchSizer
from kernelfleet.client.mapping.supply import Supply
from tests.client.simulated import Items


def make(*payloads: Any, n: int = 2, **options: Any) -> tuple[Supply, Assignment[Any]]:
    return Supply(Items(payloads, **options), BatchSizer(n, 2)), Assignment(range(n))


def keys(items: list[Item]) -> list[int]:
    return [item.key for item in items]


def test_what_waits_again_comes_before_what_the_source_gives() -> None:
    supply, assignment = make("a", "b", "c")
    supply.backlog.put([Item(9, None)])
    found = supply.next(assignment)
    assert found is not None
    assert (found[0], keys(found[1])) == (0, [9])
    assert keys(supply.next(assignment)[1]) == [0, 1]  # type: ignore[index]
    assert keys(supply.next(assignment)[1]) == [2]  # type: ignore[index]
    assert supply.next(assignment) is None


def test_items_that_only_some_can_run_go_to_them() -> None:
    supply, assignment = make("a", "b", engines=frozenset({1}))
    found = supply.next(assignment)
    assert found is not None
    assert (found[0], keys(found[1])) == (1, [0, 1])


def test_what_is_run_in_an_engines_place_is_what_it_could_run_and_has_no_limit() -> None:
    supply, _ = make("a", "b", "c")
    supply.backlog.put([Item(7, None, timeout=1.0), Item(8, None, engines=frozenset({0}))])
    supply.backlog.put([Item(9, None)])
    assert keys(supply.for_engine(1)) == [9]
    assert keys(supply.for_engine(0)) == [8]
    assert keys(supply.for_engine(1)) == [0, 1]
    assert keys(supply.for_engine(1)) == [2]
    assert supply.for_engine(1) == []
    assert list(supply.backlog.waiting()) == [(None, 1)]  # the one with a limit is still there


def test_a_source_of_limited_items_gives_none_to_run_here() -> None:
    supply, _ = make("a", "b", timeout=1.0)
    assert supply.for_engine(0) == []
    assert len(supply.backlog) == 2


def test_items_of_a_source_that_says_they_are_alike_are_not_looked_at() -> None:
    source = Items("ab", engines=frozenset({1}))
    source.varied = False
    supply = Supply(source, BatchSizer(2, 2))
    found = supply.next(Assignment(range(2)))
    assert found is not None
    assert (found[0], keys(found[1])) == (0, [0, 1])
