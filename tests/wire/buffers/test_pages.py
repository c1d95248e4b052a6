"""What the kernel tells about pages of this process."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernelfleet.wire.buffers import pages
from kernelfleet.wire.buffers.pages import address_of, were_written
from kernelfleet.wire.buffers.shared_memory import available

pytestmark = pytest.mark.skipif(not available(), reason="no shared memory here")

PAGE = mmap.PAGESIZE


@pytest.fixture
def mapping(tmp_path: Path) -> mmap.mmap:
    (tmp_path / "data").write_bytes(b"x" * 20 * PAGE)
    with (tmp_path / "data").open("rb") as file:
        access = mmap.PROT_READ | mmap.PROT_WRITE
        return mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=access)


def test_a_buffer_is_where_its_first_byte_is(monkeypatch: pytest.MonkeyPatch) -> None:
    array: Any = np.zeros(100)
    view, address = memoryview(array), array.ctypes.data
    assert address_of(array[3:]) == address + 24
    assert address_of(view) == address
    monkeypatch.delitem(sys.modules, "numpy")
    assert address_of(view) is None
    assert were_written(address, 8)  # nobody can tell


@pytest.mark.parametrize("at_once", [pages._PAGES_AT_ONCE, 3])
def test_exactly_the_pages_that_were_written_to_are_told(
    mapping: mmap.mmap, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_PAGES_AT_ONCE", at_once)
    address = address_of(mapping)
    assert address is not None
    assert not were_written(address, len(mapping))
    assert sum(mapping[:]) == 20 * PAGE * ord("x")  # they are there now
    assert not were_written(address, len(mapping))
    mapping[13 * PAGE + 5] = 1
    written = [were_written(address + at * PAGE, PAGE) for at in range(20)]
    assert written == [at == 13 for at in range(20)]
    assert were_written(address, len(mapping))
    assert not were_written(address, 13 * PAGE)
    assert were_written(address + PAGE - 1, 12 * PAGE + 2)


@pytest.mark.parametrize("told", ["/proc/self/nothing", os.devnull])
def test_where_nobody_tells_all_may_have_been_written_to(
    mapping: mmap.mmap, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = address_of(mapping)
    assert address is not None
    monkeypatch.setattr(pages, "_PAGE_STATES", told)
    assert were_written(address, PAGE)
