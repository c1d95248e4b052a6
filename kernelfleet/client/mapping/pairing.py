"""The items of a map over several sequences, as the builtin ``map`` pairs them.

What has a length must have the same one, and that is looked at before anything is taken. An
iterator without one is taken from only as far as the others reach, so that
``map(f, xs, itertools.repeat(c))`` takes what it needs and no more.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any


def paired(sequences: Sequence[Iterable[Any]]) -> tuple[list[Any], bool]:
    """All items, and whether they are tuples of arguments.

    Raises:
        TypeError: no sequence, or one that is not iterable.
        ValueError: their lengths differ, or nothing ends.
    """
    items, star = lazily_paired(sequences)
    if all(map(_is_endless, sequences)):
        raise ValueError("nothing ends this map: take part of it with itertools.islice, or imap it")
    return list(items), star


def lazily_paired(sequences: Sequence[Iterable[Any]]) -> tuple[Iterator[Any], bool]:
    """The same, taken from the sequences as they are asked for; it may be endless.

    Raises:
        TypeError: no sequence, or one that is not iterable.
        ValueError: their lengths differ.
    """
    if not sequences:
        raise TypeError("map needs at least one sequence")
    for each in sequences:
        if not _is_iterable(each):
            raise TypeError(f"map goes over sequences, and {type(each).__name__} is not iterable")
    if len(sequences) == 1:
        return iter(sequences[0]), False
    lengths = [len(each) for each in sequences if isinstance(each, Sized)]
    if len(set(lengths)) > 1:
        raise ValueError(f"the sequences have different lengths: {', '.join(map(str, lengths))}")
    # zip looks for the end from left to right, and what stands left of it has lost an item then:
    # so those that are sure to begin anew come first.
    order = sorted(range(len(sequences)), key=lambda i: not isinstance(sequences[i], Sized))
    rows = zip(*(sequences[i] for i in order), strict=False)
    if order == list(range(len(sequences))):
        return rows, True
    places = sorted(range(len(order)), key=order.__getitem__)
    return (tuple(row[i] for i in places) for row in rows), True


def _is_iterable(value: object) -> bool:
    return hasattr(value, "__iter__") or hasattr(value, "__getitem__")


def _is_endless(iterable: object) -> bool:
    """Whether it is one of those iterators of the standard library that never end."""
    if isinstance(iterable, itertools.count | itertools.cycle):
        return True
    if not isinstance(iterable, itertools.repeat):
        return False
    try:
        iterable.__length_hint__()
    except TypeError:
        return True
    return False
