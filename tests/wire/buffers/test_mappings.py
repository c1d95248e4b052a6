"""Which memory of this process is a read-only mapping of a file."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernelfleet.wire.buffers import mappings, pages
from kernelfleet.wire.buffers.mappings import Mapping, file_ranges, find, parse
from kernelfleet.wire.buffers.pages import address_of
from kernelfleet.wire.buffers.shared_memory import available

pytestmark = [
    pytest.mark.skipif(not available(), reason="no shared memory here"),
    pytest.mark.usefixtures("descriptors_come_back"),
]

PAGE = mmap.PAGESIZE
DATA = bytes(range(256)) * (10 * PAGE // 256)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a file (deleted)"  # its name says what /proc says of files that are gone
    path.write_bytes(DATA)
    return path


def mapped(path: Path, flags: int, access: int = mmap.PROT_READ, offset: int = 0) -> mmap.mmap:
    fd = os.open(path, os.O_RDWR)
    try:
        return mmap.mmap(fd, len(DATA) - offset, flags=flags, prot=access, offset=offset)
    finally:
        os.close(fd)


@pytest.mark.parametrize("flags", [mmap.MAP_SHARED, mmap.MAP_PRIVATE])
def test_a_part_of_a_read_only_mapping_is_found_in_its_file(path: Path, flags: int) -> None:
    memory = memoryview(mapped(path, flags, offset=2 * PAGE))
    (found,) = file_ranges([memory[1000:30000]])
    assert found is not None
    assert (found.offset, found.nbytes) == (2 * PAGE + 1000, 29000)
    assert bytes(found.map()) == DATA[found.offset :][: found.nbytes]


@pytest.mark.parametrize("flags", [mmap.MAP_SHARED, mmap.MAP_PRIVATE])
def test_what_can_be_written_to_is_not_shared(path: Path, flags: int) -> None:
    memory = memoryview(mapped(path, flags, mmap.PROT_READ | mmap.PROT_WRITE))
    assert file_ranges([memory.toreadonly()]) == [None]


def test_memory_that_is_no_file_is_not_shared(tmp_path: Path) -> None:
    fd = os.memfd_create("no-file")
    os.write(fd, DATA)
    memory = mmap.mmap(fd, len(DATA), prot=mmap.PROT_READ)
    os.close(fd)
    views = [memoryview(b"x" * PAGE), memoryview(memory), memoryview(b"")]
    assert file_ranges(views) == [None] * 3


def test_a_mapping_that_was_written_to_before_it_became_read_only_is_not_shared(
    path: Path,
) -> None:
    memory = mapped(path, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    address = address_of(memoryview(memory))
    assert address is not None
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    arguments = ctypes.c_void_p(address), ctypes.c_size_t(len(DATA)), mmap.PROT_READ
    memory[5 * PAGE] = 99
    assert protect(*arguments) == 0
    view = memoryview(memory).toreadonly()
    untouched, touched = file_ranges([view[: 5 * PAGE], view[5 * PAGE :]])
    assert untouched is not None
    assert touched is None


def test_where_nobody_tells_which_pages_were_changed_a_private_mapping_is_not_shared(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = memoryview(mapped(path, mmap.MAP_PRIVATE))
    monkeypatch.setattr(pages, "_PAGE_STATES", "/proc/self/nothing")
    assert file_ranges([memory]) == [None]
    monkeypatch.setattr(pages, "_PAGE_STATES", os.devnull)
    assert file_ranges([memory]) == [None]


def test_where_nobody_tells_what_is_mapped_nothing_is_shared(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mappings, "_MAPS", "/proc/self/nothing")
    assert file_ranges([memoryview(mapped(path, mmap.MAP_SHARED))]) == [None]


@pytest.mark.parametrize("fate", ["deleted", "replaced", "a link", "a fifo", "unreadable"])
def test_a_file_that_its_name_does_not_lead_to_any_more_is_not_shared(
    path: Path, fate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = memoryview(mapped(path, mmap.MAP_SHARED))
    name, same = path.with_name(f"{path.name} (deleted)"), path.with_name("same")
    same.hardlink_to(path)
    if fate == "unreadable":
        really = os.open

        def refuse(what: str, flags: int) -> int:
            if "/fd/" in what:
                raise PermissionError(what)
            return really(what, flags)

        monkeypatch.setattr(os, "open", refuse)
    else:
        path.unlink()  # the kernel tells the name now as if it were that of another file
    if fate == "replaced":
        name.write_bytes(DATA)
    elif fate == "a link":
        name.symlink_to(same)
    elif fate == "a fifo":
        os.mkfifo(name)
    assert file_ranges([memory]) == [None]


def test_a_file_that_was_renamed_is_found_by_its_name_of_now(path: Path) -> None:
    memory = memoryview(mapped(path, mmap.MAP_SHARED))
    path.rename(path.with_name("renamed"))
    path.write_bytes(bytes(len(DATA)))
    (found,) = file_ranges([memory])
    assert found is not None
    assert bytes(found.map()) == DATA


def test_without_numpy_nothing_is_shared(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = memoryview(mapped(path, mmap.MAP_SHARED))
    monkeypatch.delitem(__import__("sys").modules, "numpy")
    assert file_ranges([memory]) == [None]


def test_all_parts_of_one_file_share_a_descriptor(path: Path) -> None:
    memory = memoryview(mapped(path, mmap.MAP_SHARED))
    before = len(os.listdir("/proc/self/fd"))
    found = file_ranges([memory[at : at + 100] for at in range(50)])
    assert None not in found
    assert len(os.listdir("/proc/self/fd")) == before + 1


def test_an_array_over_a_file_is_found_wherever_it_begins(path: Path) -> None:
    array: Any = np.memmap(path, mode="r", dtype="u1", offset=12345)
    (found,) = file_ranges([memoryview(array[77:])])
    assert found is not None
    assert found.offset == 12345 + 77


MAPS = b"""\
55d0-55e0 r--p 00000000 fe:00 111                                /usr/bin/python
55e0-55f0 r-xp 00000010 fe:00 111                                /usr/bin/python
1000-3000 rw-s 00000000 fe:00 222                                /data/x
3000-4000 r--s 00000000 fe:00 222                                /data/x
4000-6000 r--s 00001000 fe:00 222                                /data/x
6000-7000 r--s 00002000 fe:00 222                                /data/x
7000-8000 r--p 00003000 fe:00 222                                /data/x
8000-9000 r--p 00003000 fe:00 333                                /data/with a space
9000-a000 r--p 00000000 00:00 0
a000-b000 r--p 00000000 00:00 0                                  [vvar]
"""


def test_neighbours_that_continue_each_other_are_one_mapping() -> None:
    found = [(each.start, each.stop, each.private, each.path) for each in parse(MAPS)]
    assert found == [
        (0x55D0, 0x55E0, True, b"/usr/bin/python"),
        (0x3000, 0x6000, False, b"/data/x"),
        (0x6000, 0x7000, False, b"/data/x"),
        (0x7000, 0x8000, True, b"/data/x"),
        (0x8000, 0x9000, True, b"/data/with a space"),
    ]


@pytest.mark.parametrize(
    ("address", "nbytes", "expected"),
    [(100, 100, 0), (150, 51, None), (99, 1, None), (199, 1, 0), (200, 1, None), (300, 50, 1)],
)
def test_a_mapping_is_found_only_if_it_has_all_of_the_bytes(
    address: int, nbytes: int, expected: int | None
) -> None:
    both = [Mapping(start, start + 100, False, 0, b"", b"") for start in (100, 300)]
    found = find(both, address, nbytes)
    assert found is (None if expected is None else both[expected])
