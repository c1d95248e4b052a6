"""What has come in a shared buffer goes on as the same buffer, if nobody has written to it."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from kernelfleet.wire.buffers import pages, received
from kernelfleet.wire.buffers.shared_memory import SHARED_BYTES, SharedBuffer, available
from kernelfleet.wire.objects.serialize import pack, pack_nested, unpack

pytestmark = pytest.mark.skipif(not available(), reason="no shared memory here")


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    gc.collect()
    before = len(os.listdir("/proc/self/fd")), len(received._received)
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before[0]
    assert len(received._received) <= before[1]


def inode(buffer: Any) -> int:
    assert isinstance(buffer, SharedBuffer)
    return os.fstat(buffer._fd).st_ino


def sent(value: object) -> Any:
    return pack(value, shared=True)[1]


def came() -> tuple[Any, int]:
    """An array that has come in a shared buffer, and which that is."""
    buffer = sent(np.arange(SHARED_BYTES // 8))
    return np.frombuffer(buffer.map(), "i8"), inode(buffer)


def test_an_array_that_has_come_is_sent_on_as_the_same_buffer() -> None:
    array, number = came()
    assert inode(sent(array)) == number
    assert array.sum() > 0  # looking at it changes nothing
    assert inode(sent(array)) == inode(sent(array.reshape(2, -1))) == number
    again = sent(array)
    assert np.array_equal(np.frombuffer(SharedBuffer.open(again.handle).map(), "i8"), array)


def test_what_was_written_to_is_copied_and_the_buffer_keeps_what_it_had() -> None:
    array, number = came()
    first = sent(array)
    array[1234] = -1
    second = sent(array)
    assert inode(first) == number != inode(second)
    assert np.frombuffer(first.map(), "i8")[1234] == 1234
    assert np.frombuffer(second.map(), "i8")[1234] == -1


def test_parts_of_it_are_copied() -> None:
    array, number = came()
    large = np.frombuffer(SharedBuffer.write(np.zeros(SHARED_BYTES)).map(), "f8")
    assert inode(sent(array)) == number
    half: Any = sent(large[: SHARED_BYTES // 2])
    assert half.nbytes == SHARED_BYTES * 4
    assert inode(sent(large[SHARED_BYTES // 2 :])) != inode(half)


def test_arrays_within_results_of_maps_go_on_too() -> None:
    outer = pack([pack_nested(np.arange(SHARED_BYTES // 8))], shared=True)
    (inner,) = unpack(outer)
    array = unpack(inner)
    assert inode(sent(array)) == inode(outer[-1])


def test_where_nobody_tells_what_was_written_to_it_is_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    array, number = came()
    monkeypatch.setattr(pages, "_PAGE_STATES", "/proc/self/nothing")
    assert inode(sent(array)) != number


def test_memory_of_its_own_is_copied_and_an_address_is_forgotten_with_its_mapping() -> None:
    array, _ = came()
    address = array.ctypes.data
    assert address in received._received
    del array
    gc.collect()
    assert address not in received._received
    own = np.arange(SHARED_BYTES // 8)
    assert inode(sent(own)) != inode(sent(own))


def test_without_descriptors_left_it_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    array, number = came()

    def none_left(_: int) -> int:
        raise OSError("no descriptors")

    monkeypatch.setattr(os, "dup", none_left)
    assert inode(sent(array)) != number
