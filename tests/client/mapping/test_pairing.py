"""pairing.py: lengths that must agree, and iterators that are taken from as far as is needed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from kernelfleet.client.mapping.pairing import lazily_paired, paired


def squares() -> Iterator[int]:
    return (x * x for x in itertools.count())


def test_items_of_several_sequences_are_paired() -> None:
    assert paired([[1, 2]]) == ([1, 2], False)
    assert paired(["ab", iter([1, 2])]) == ([("a", 1), ("b", 2)], True)
    assert paired([{1: 2}.keys()]) == ([1], False)
    assert paired([[], itertools.count()]) == ([], True)


def test_lengths_must_agree_before_anything_is_taken() -> None:
    untouched = iter([1, 2, 3])
    with pytest.raises(ValueError, match="lengths: 1, 2"):
        paired([untouched, "a", "ab"])
    with pytest.raises(ValueError, match="lengths: 1, 2"):
        lazily_paired(["a", "ab"])
    assert next(untouched) == 1
    with pytest.raises(TypeError, match="at least one"):
        paired([])
    with pytest.raises(TypeError, match="int is not iterable"):
        paired([[1], 3])  # type: ignore[list-item]


@pytest.mark.parametrize("first", [True, False])
def test_an_iterator_is_taken_from_only_as_far_as_the_others_reach(first: bool) -> None:
    endless = squares()
    sequences = [endless, [7, 8, 9]] if first else [[7, 8, 9], endless]
    items, star = paired(sequences)
    assert star
    rows = [(0, 7), (1, 8), (4, 9)]
    assert items == (rows if first else [row[::-1] for row in rows])
    assert next(endless) == 9


def test_an_iterator_that_ends_early_ends_the_map_as_the_builtin_does() -> None:
    assert paired([[1, 2, 3], iter("ab"), itertools.repeat(0)])[0] == [(1, "a", 0), (2, "b", 0)]
    assert paired([iter([1, 2]), squares()])[0] == [(1, 0), (2, 1)]


@pytest.mark.parametrize(
    "endless", [itertools.repeat(1), itertools.count(), itertools.cycle([1, 2])]
)
def test_what_is_known_to_be_endless_is_never_listed(endless: Iterator[int]) -> None:
    for sequences in ([endless], [endless, itertools.count(5)]):
        with pytest.raises(ValueError, match="nothing ends this map"):
            paired(sequences)
    items, _ = lazily_paired([endless, itertools.count()])
    assert len(list(itertools.islice(items, 3))) == 3
    assert paired([itertools.repeat(1, 2), itertools.count()])[0] == [(1, 0), (1, 1)]
