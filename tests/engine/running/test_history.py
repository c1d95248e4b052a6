"""What frontends get of the history: the last cells, and those that match."""

from __future__ import annotations

from kernelfleet.engine.running.history import entries, search, tail

CELLS = ["", "a = 1", "b = 2", "", "a = 1", "print(a)"]


def test_the_last_cells_come_oldest_first_with_their_numbers() -> None:
    assert tail(CELLS, 2) == [(4, "a = 1"), (5, "print(a)")]
    assert tail(CELLS, 100) == [(1, "a = 1"), (2, "b = 2"), (4, "a = 1"), (5, "print(a)")]
    assert tail(CELLS, None) == tail(CELLS, 10)
    assert len(tail([f"cell {i}" for i in range(50)], None)) == 10
    assert tail(CELLS, 0) == tail([], 5) == tail([""], 5) == []


def test_a_search_takes_the_patterns_of_a_database() -> None:
    assert search(CELLS, "*a*", None, unique=False) == [(1, "a = 1"), (4, "a = 1"), (5, "print(a)")]
    assert search(CELLS, "?[^x]= *", None, unique=False) == [
        (1, "a = 1"),
        (2, "b = 2"),
        (4, "a = 1"),
    ]
    assert search(CELLS, "A*", None, unique=False) == []
    assert search(CELLS, None, 1, unique=False) == [(5, "print(a)")]


def test_of_cells_that_are_alike_a_search_may_give_the_last_only() -> None:
    assert search(CELLS, "*", None, unique=True) == [(2, "b = 2"), (4, "a = 1"), (5, "print(a)")]
    assert search(CELLS, "a*", 1, unique=True) == [(4, "a = 1")]


def test_entries_have_a_session_and_outputs_where_they_are_asked_for() -> None:
    found = [(1, "a = 1"), (2, "a")]
    assert entries(found, 7, None) == [(7, 1, "a = 1"), (7, 2, "a")]
    assert entries(found, 7, {2: "1"}) == [(7, 1, ("a = 1", None)), (7, 2, ("a", "1"))]
