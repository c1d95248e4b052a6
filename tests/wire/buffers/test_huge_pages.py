"""Shared memory in huge pages: the same bytes, and small pages wherever that does not work."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernelfleet.wire.buffers import huge_pages
from kernelfleet.wire.buffers.huge_pages import HUGE_BYTES, fill
from kernelfleet.wire.buffers.shared_memory import SharedBuffer, available

pytestmark = pytest.mark.skipif(not available(), reason="no shared memory here")

PAGE = 2 * 1024 * 1024
_ARRAY: Any = np.arange(9 * PAGE // 8 + 100, dtype="i8")
DATA = memoryview(_ARRAY).cast("B")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"usable": True, "rest": 0, "pause": 0}.items():
        monkeypatch.setattr(huge_pages._State, name, value)
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.fixture
def fd() -> Iterator[int]:
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    yield fd
    os.close(fd)


def makes_huge_pages() -> bool:
    """Whether this system does, as it says itself."""
    release = tuple(map(int, os.uname().release.split(".")[:2]))
    enabled = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
    return release >= (6, 1) and enabled.exists() and "[deny]" not in enabled.read_text()


def mapped(text: str) -> int:
    return Path("/proc/self/maps").read_text().count(text)


class Libc:
    """Huge pages of a system that answers as the test says."""

    def __init__(self, answer: int) -> None:
        self.real, self.answer, self.asked = huge_pages._libc(), answer, list[int]()

    def mmap(self, *arguments: Any) -> Any:
        return self.real.mmap(*arguments)

    def madvise(self, _address: int, nbytes: int, _advice: int) -> int:
        self.asked.append(nbytes)
        if self.answer:
            ctypes.set_errno(self.answer)
        return -1 if self.answer else 0


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> Libc:
    libc = Libc(0)
    monkeypatch.setattr(huge_pages, "_libc", lambda: libc)
    monkeypatch.setattr(huge_pages, "_page_bytes", lambda: PAGE)
    return libc


@pytest.mark.skipif(not makes_huge_pages(), reason="no huge pages in shared memory here")
def test_a_large_buffer_is_in_huge_pages_but_for_its_end(fd: int) -> None:
    size = huge_pages._page_bytes()
    array: Any = np.arange(9 * size // 8 + 100, dtype="i8")
    data = memoryview(array).cast("B")
    assert fill(fd, data) == 9 * size
    assert os.pread(fd, 9 * size, 0) == data[: 9 * size]
    assert os.fstat(fd).st_size == data.nbytes
    assert os.fstat(fd).st_blocks * 512 == 9 * size
    assert huge_pages._State.usable


@pytest.mark.parametrize("nbytes", [HUGE_BYTES, HUGE_BYTES + 1, 9 * PAGE, 9 * PAGE + 8])
@pytest.mark.parametrize("step_bytes", [huge_pages._STEP_BYTES, 3 * PAGE + 1, 1])
def test_a_shared_buffer_has_the_same_bytes_and_is_sealed(
    nbytes: int, step_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huge_pages, "_STEP_BYTES", step_bytes)
    data = np.arange(nbytes, dtype="u4").astype("u1")
    before = mapped("kernelfleet")
    buffer = SharedBuffer.write(data)
    assert mapped("kernelfleet") == before
    assert SharedBuffer.open(buffer.handle).nbytes == nbytes
    assert np.array_equal(np.frombuffer(buffer.map(), "u1"), data)


def test_small_buffers_and_systems_without_huge_pages_are_left_alone(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fill(fd, memoryview(bytes(HUGE_BYTES - 1))) == 0
    huge_pages._page_bytes.cache_clear()
    monkeypatch.setattr(huge_pages, "_SIZE_FILE", "/sys/nothing")
    assert fill(fd, DATA) == 0
    monkeypatch.setattr(huge_pages, "_SIZE_FILE", os.devnull)
    huge_pages._page_bytes.cache_clear()
    assert fill(fd, DATA) == 0
    huge_pages._page_bytes.cache_clear()
    assert os.fstat(fd).st_size == 0


def test_a_system_that_cannot_is_asked_once(fd: int, libc: Libc) -> None:
    libc.answer = errno.EINVAL
    assert fill(fd, DATA) == fill(fd, DATA) == 0
    assert len(libc.asked) == 1
    assert bytes(SharedBuffer.write(DATA).map()) == DATA


def test_where_there_are_no_huge_pages_now_the_next_buffer_may_have_some(
    fd: int, libc: Libc
) -> None:
    libc.answer = errno.ENOMEM
    assert fill(fd, DATA) == 0
    libc.answer = 0
    assert fill(fd, DATA) == 9 * PAGE


def test_what_has_been_written_before_there_are_none_left_is_kept(
    libc: Libc, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = libc.madvise

    def madvise(address: int, nbytes: int, advice: int) -> int:
        libc.answer = errno.EAGAIN if len(libc.asked) == 2 else 0
        return really(address, nbytes, advice)

    monkeypatch.setattr(libc, "madvise", madvise)
    monkeypatch.setattr(huge_pages, "_STEP_BYTES", PAGE)
    assert bytes(SharedBuffer.write(DATA).map()) == DATA
    assert libc.asked == [PAGE] * 3


def test_a_full_memory_is_found_by_who_writes_the_rest(
    fd: int, libc: Libc, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "pwrite", full)
    assert fill(fd, DATA) == 0
    with pytest.raises(OSError, match="no space"):
        SharedBuffer.write(DATA)


def test_where_it_takes_longer_than_it_saves_it_pauses_longer_and_longer(
    fd: int, libc: Libc, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(float(i) for i in range(10**6))
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks))
    tried = [bool(fill(fd, DATA)) for _ in range(200)]
    places = [at for at, each in enumerate(tried) if each]
    steps = [b - a for a, b in itertools.pairwise(places)]
    assert steps == [2, 4, 8, 16, 32, 64, 64]
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    huge_pages._State.rest = 0
    assert all(fill(fd, DATA) for _ in range(5))


def test_a_process_that_is_forked_meanwhile_does_not_keep_the_buffer_from_being_sealed(
    libc: Libc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seal against writing is refused as long as anybody could write through a mapping."""
    reading, writing = os.pipe()
    children: list[int] = []

    def madvise(*_: Any) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads
            child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        children.append(child)
        return 0

    monkeypatch.setattr(libc, "madvise", madvise)
    try:
        assert SharedBuffer.open(SharedBuffer.write(DATA).handle).nbytes == DATA.nbytes
    finally:
        os.close(writing)
        for child in children:
            os.waitpid(child, 0)
        os.close(reading)
    assert children
