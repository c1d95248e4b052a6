"""How numpy's arrays travel: which arrive writable, and which show the pages of a file.

An array arrives as memory of the receiver's own, to which it may write, even if it is read-only
here. The exception are arrays that somebody has mapped from a file for reading only, and what is
cut from them. On their way to an engine they stay what they are: read-only, so that a slip does
not fill the memory with what was too large for it, and on the same machine the very pages of the
file, whatever their strides. Each ``numpy.memmap`` arrives as a plain array.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any

from kernelfleet.wire.buffers import mappings
from kernelfleet.wire.buffers.shared_memory import SHARED_BYTES


class Maps(Enum):
    """What becomes of data that are mapped from a file for reading."""

    #: The receiver gets a copy of its own, to which it may write.
    COPIED = "copied"
    #: It gets a copy that stays read-only.
    READ_ONLY = "read-only"
    #: It maps the file, if it is large and can be found.
    SHARED = "shared"


class ArrayReducer:
    """Reduces arrays for one pickle.

    Args:
        maps: What becomes of those that are mapped from a file.
    """

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._mappings: list[mappings.Mapping] | None = None

    def reduce(self, array: Any) -> Any:
        """How to make an array again; ``NotImplemented`` where it goes as numpy has it."""
        numpy: Any = sys.modules["numpy"]
        kind = type(array)
        if (kind is not numpy.ndarray and kind is not numpy.memmap) or array.dtype.hasobject:
            return NotImplemented
        if not array.flags.writeable and self._maps is not Maps.COPIED:
            if (cover := self._cover(array)) is not None:
                return cover
            if _is_of_memmap(numpy, array):
                return _as_it_lies(numpy.asarray(array, order="A"))
        if not array.flags.writeable and array.flags.forc:
            return _writable_alias(numpy, array).__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        if kind is numpy.memmap:
            return array.view(numpy.ndarray).__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        return NotImplemented

    def _cover(self, array: Any) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
        """The array over all the bytes from its first to its last, if a file can be mapped there.

        Whether it can is only guessed: if not, these bytes are copied.
        """
        if self._maps is not Maps.SHARED or array.nbytes < SHARED_BYTES:
            return None
        start, size = _extent(array)
        if size < SHARED_BYTES:
            return None
        if self._mappings is None:
            self._mappings = mappings.own()
        address = _address(array)
        if mappings.find(self._mappings, address - start, size) is None:
            return None
        numpy: Any = sys.modules["numpy"]
        memory = numpy.asarray(_Memory(array, address - start, size, read_only=True))
        return _over(memory, array, start)


def _is_of_memmap(numpy: Any, array: Any) -> bool:
    while isinstance(array, numpy.ndarray):
        if isinstance(array, numpy.memmap):
            return True
        array = array.base
    return False


def _extent(array: Any) -> tuple[int, int]:
    """How far an array's first element is from the lowest of its bytes, and how many those are."""
    steps = [(n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)]
    before = -sum(step for step in steps if step < 0)
    return before, before + sum(step for step in steps if step > 0) + array.itemsize


def _as_it_lies(array: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A contiguous array, read-only at the other end."""
    numpy: Any = sys.modules["numpy"]
    array = array if array.flags.forc else array.copy()
    return _over(
        numpy.asarray(_Memory(array, _address(array), array.nbytes, read_only=True)), array, 0
    )


def _over(memory: Any, array: Any, offset: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    numpy: Any = sys.modules["numpy"]
    buffer = pickle.PickleBuffer(memory)
    return numpy.ndarray, (array.shape, array.dtype, buffer, offset, array.strides)


class _Memory:
    """Tells numpy whether bytes may be written, and keeps the array alive that has them."""

    def __init__(self, array: Any, address: int, nbytes: int, *, read_only: bool) -> None:
        self.array = array
        self.__array_interface__ = {
            "version": 3,
            "data": (address, read_only),
            "shape": (nbytes,),
            "typestr": "|u1",
        }


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def _writable_alias(numpy: Any, array: Any) -> Any:
    """Return an array on the same memory that claims to be writable. Only the pickler reads it."""
    memory = numpy.asarray(_Memory(array, _address(array), array.nbytes, read_only=False))
    order = "C" if array.flags.c_contiguous else "F"
    return numpy.ndarray(array.shape, array.dtype, buffer=memory, order=order)
