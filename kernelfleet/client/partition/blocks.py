"""The arithmetic of scatter and gather: cutting sequences and joining them again.

Pure. numpy and pandas are never imported here: an array exists only where numpy is in
``sys.modules`` already.

Contiguous blocks, the extra items to the first engines: 10 over 4 is 3, 3, 2, 2. Slicing keeps the
type; a ``range``, and what cannot be sliced, is sent as lists.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence, Sized
from collections.abc import Set as AbstractSet
from itertools import chain, pairwise
from typing import Any

from kernelfleet.client.partition.partitioners import Axis, find

_SLICED = (list, tuple, str, bytes, bytearray, array)


def edges(length: int, parts: int) -> list[tuple[int, int]]:
    """``(start, stop)`` of each of ``parts`` contiguous blocks of ``length`` items.

    Example:
        >>> edges(10, 4)
        [(0, 3), (3, 6), (6, 8), (8, 10)]
    """
    if parts < 1:
        return []
    size, extra = divmod(length, parts)
    return list(pairwise(i * size + min(i, extra) for i in range(parts + 1)))


def split(seq: Any, parts: int, *, flatten: bool = False, axis: Axis = 0) -> list[Any]:
    """Cut a sequence into contiguous blocks of nearly equal length.

    Args:
        seq: A list, tuple, str, bytes, array or other sequence; arrays are cut along their first
            axis, into views; DataFrames and Series by rows.
        parts: How many blocks; the last ones are empty if there are fewer items.
        flatten: A block of exactly one item is that item, bare.
        axis: Along which axis; only arrays and tables have more than one.

    Raises:
        TypeError: ``seq`` has no order, no length or no such axis.

    Example:
        >>> split("abcdefg", 3)
        ['abc', 'de', 'fg']
    """
    if not _is_array(seq) and (known := find(seq)) is not None:
        places = edges(known.length(seq, axis), parts)
        blocks = [known.part(seq, start, stop, axis) for start, stop in places]
    elif axis != 0:
        blocks = _along(seq, axis, parts)
    else:
        blocks = _rows(seq, parts)
    if not flatten or axis != 0:
        return blocks
    return [_only_item(block) if _length(block) == 1 else block for block in blocks]


def _along(array: Any, axis: Axis, parts: int) -> list[Any]:
    """Views of an array along another axis than the first."""
    if not _is_array(array):
        raise TypeError(f"a {type(array).__name__} has no axis {axis!r}")
    if not isinstance(axis, int) or not 0 <= axis < array.ndim:
        raise TypeError(f"an array of {array.ndim} axes has no axis {axis!r}")
    before = (slice(None),) * axis
    places = edges(array.shape[axis], parts)
    return [array[(*before, slice(start, stop))] for start, stop in places]


def _rows(seq: Any, parts: int) -> list[Any]:
    source = _sliceable(seq)
    return [source[start:stop] for start, stop in edges(_length(seq), parts)]


def join(parts: Sequence[Any], axis: Axis = 0) -> Any:
    """Put blocks together again, by the type of the first.

    Arrays are concatenated, and so are tables and tensors of the libraries that are known; lists
    and tuples give one flat list; anything else gives the list of the parts. A part that
    ``flatten`` had left bare counts as the one item it is.

    Example:
        >>> join([[1, 2], [3]]), join([1, 2])
        ([1, 2, 3], [1, 2])
    """
    if not parts:
        return []
    first = parts[0]
    if _is_array(first) and first.ndim:
        return _concatenate(parts, axis)
    if (known := find(first)) is not None:
        return known.join(parts, axis)
    if _is_pandas(first):
        return sys.modules["pandas"].concat(list(parts))
    if axis != 0:
        raise TypeError(f"what is gathered is a {type(first).__name__}, which has no axis {axis!r}")
    if isinstance(first, list | tuple):
        lists = (part if isinstance(part, list | tuple) else [part] for part in parts)
        return list(chain.from_iterable(lists))
    return list(parts)


def _sliceable(seq: Any) -> Any:
    """Something whose slices are what the engines get."""
    if isinstance(seq, _SLICED):
        return seq
    if _is_pandas(seq):
        return seq.iloc
    if _is_array(seq):
        if seq.ndim == 0:
            raise TypeError("an array without dimensions cannot be scattered: use push")
        return seq
    if isinstance(seq, Sequence):
        return list(seq)  # range, deque, a class of the user's: slices may be missing or not travel
    unordered = isinstance(seq, Mapping | AbstractSet)
    if not unordered and hasattr(seq, "__getitem__") and isinstance(seq, Sized):
        return seq  # a tensor, say
    raise TypeError(
        f"cannot scatter a {type(seq).__name__}: it has no order or no length; "
        f"pass a sequence, for instance {'sorted' if unordered else 'list'}(...) of it"
    )


def _length(seq: Any) -> int:
    return len(seq)


def _only_item(block: Any) -> Any:
    return block.iloc[0] if _is_pandas(block) else block[0]


def _is_array(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _is_pandas(value: object) -> bool:
    # By getattr: while pandas is being imported it is in sys.modules and has no classes yet.
    pandas = sys.modules.get("pandas")
    names = ("DataFrame", "Series")
    classes = tuple(getattr(pandas, name) for name in names if hasattr(pandas, name))
    return isinstance(value, classes)


def _concatenate(parts: Sequence[Any], axis: Axis = 0) -> Any:
    if axis != 0:
        return sys.modules["numpy"].concatenate(list(parts), axis=axis)
    numpy = sys.modules["numpy"]
    dims = parts[0].ndim
    arrays = [numpy.asanyarray(part) for part in parts]
    arrays = [each[numpy.newaxis] if each.ndim == dims - 1 else each for each in arrays]
    masked = any(isinstance(each, numpy.ma.MaskedArray) for each in arrays)
    return (numpy.ma if masked else numpy).concatenate(arrays)
