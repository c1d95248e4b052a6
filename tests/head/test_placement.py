"""placement.py: engines go where the largest share of slots is free."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.head.placement import NoRoom, choose, grouped, unique_name


def test_equal_places_get_engines_in_turn() -> None:
    assert choose({"a": 2, "b": 2}, {}, 5, strict=False) == ["a", "b", "a", "b", "a"]


def test_a_place_with_more_slots_gets_more_and_one_without_slots_none() -> None:
    chosen = choose({"a": 4, "b": 2, "c": 0}, {}, 6, strict=True)
    assert (chosen.count("a"), chosen.count("b"), chosen.count("c")) == (4, 2, 0)


def test_what_is_there_already_counts() -> None:
    assert choose({"a": 2, "b": 2}, {"a": 2}, 2, strict=True) == ["b", "b"]


def test_strict_slots_are_never_exceeded() -> None:
    with pytest.raises(NoRoom, match="3 more engines, and there is room for 2"):
        choose({"a": 1, "b": 1}, {}, 3, strict=True)
    with pytest.raises(NoRoom):
        choose({}, {}, 1, strict=False)
    with pytest.raises(NoRoom):
        choose({"a": 0}, {}, 1, strict=False)


@given(
    st.dictionaries(st.integers(0, 9), st.integers(1, 8), min_size=1),
    st.integers(0, 40),
)
def test_shares_differ_by_less_than_one_engine(slots: dict[int, int], count: int) -> None:
    chosen = choose(slots, {}, count, strict=False)
    assert len(chosen) == count
    shares = [(chosen.count(place), offered) for place, offered in slots.items()]
    for load, offered in shares:
        for other, others in shares:
            assert load / offered <= (other + 1) / others


def test_positions_are_grouped_by_place_in_the_order_of_places() -> None:
    assert grouped(["b", "a", "b"]) == {"b": [0, 2], "a": [1]}


def test_nodes_of_one_machine_have_different_names() -> None:
    assert unique_name("vm", []) == "vm"
    assert unique_name("vm", ["vm", "vm-2"]) == "vm-3"
