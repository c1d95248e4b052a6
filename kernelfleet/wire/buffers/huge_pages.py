"""Shared memory in huge pages, which costs a third of the processor time.

Of the time that it takes to write 100 MB into a memfd, a copy is a seventh. The rest goes into
25,000 pages: each is allocated, filed, and freed again. As huge pages they are 47.

Linux gives a memfd no huge pages by itself (``shmem_enabled`` is ``never`` almost everywhere), but
since version 6.1 it makes some of what is there already, if asked (``MADV_COLLAPSE``, madvise(2)).
So one small page of each is written, they are made, and then comes the data. Where that cannot be
had, or memory is in so many small pieces that it takes longer than it saves, pages stay small.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import time
from contextlib import closing
from functools import cache

#: Buffers of at least this size are written in huge pages: it begins with work for all cores.
HUGE_BYTES = 8 * 1024 * 1024

_SIZE_FILE = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"
_MADV_COLLAPSE = 25
_MAP_FIXED = 0x10
#: How much is made at once, and how much is copied at once: meanwhile no other thread runs.
_STEP_BYTES, _PIECE_BYTES = 64 * 1024 * 1024, 4 * 1024 * 1024
#: What a byte takes in small pages, beside its copy.
_SECONDS_PER_BYTE = 0.3e-9
#: For how many buffers pages stay small at most, after it took longer than it saves.
_MAX_PAUSE = 63


class _State:
    #: Whether this system makes huge pages.
    usable = True
    #: For how many buffers pages stay small now, and for how many since the last time. The pause
    #: doubles: memory may be in pieces for long, but a virtual machine is slow only at what it has
    #: not had from its host before.
    rest = pause = 0


def fill(fd: int, data: memoryview) -> int:
    """Write the beginning of the data into an empty memfd, in huge pages if they can be had.

    Args:
        fd: The memfd.
        data: All that is to be in it, as bytes.

    Returns:
        How many bytes are there now. What follows them is still to be written.
    """
    size = _page_bytes()
    if not _State.usable or not size or data.nbytes < max(HUGE_BYTES, 4 * size):
        return 0
    if _State.rest:
        _State.rest -= 1
        return 0
    written, whole = 0, data.nbytes // size * size
    try:
        os.ftruncate(fd, data.nbytes)
        room = mmap.mmap(-1, whole + size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with closing(room):  # it must be gone when the memfd is sealed
            base = ctypes.addressof(ctypes.c_char.from_buffer(room))
            start = -base % size
            _map_at(base + start, fd, whole)
            room.madvise(mmap.MADV_DONTFORK, start, whole)
            while written < whole and not _State.rest:
                stop = min(written + max(_STEP_BYTES // size * size, size), whole)
                _make(fd, base + start, range(written, stop, size))
                with memoryview(room) as target:
                    for at in range(written, stop, _PIECE_BYTES):
                        piece = data[at : min(at + _PIECE_BYTES, stop)]
                        target[start + at : start + at + len(piece)] = piece
                written = stop
    except OSError as error:
        if error.errno == errno.EINVAL:
            _State.usable = False
    return written


def _make(fd: int, address: int, places: range) -> None:
    """Make huge pages at these places of a memfd that is mapped at this address.

    Raises:
        OSError: there are none.
    """
    for place in places:
        os.pwrite(fd, b"\0", place)
    before, nbytes = time.thread_time(), len(places) * places.step
    # By ctypes other threads run meanwhile, which Python's own method does not let them.
    if _libc().madvise(address + places.start, nbytes, _MADV_COLLAPSE):
        raise OSError(ctypes.get_errno(), "madvise")
    is_slow = time.thread_time() - before > nbytes * _SECONDS_PER_BYTE
    _State.rest = _State.pause = min(2 * _State.pause + 1, _MAX_PAUSE) if is_slow else 0


def _map_at(address: int, fd: int, nbytes: int) -> None:
    """Map a memfd where its huge pages would lie: ``mmap`` of Python's library takes no address.

    Raises:
        OSError: it cannot be mapped.
    """
    access, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | _MAP_FIXED
    if _libc().mmap(address, nbytes, access, flags, fd, 0) != address:
        raise OSError(ctypes.get_errno(), "mmap")


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


@cache
def _page_bytes() -> int:
    """The size of a huge page; 0 where there are none."""
    try:
        with open(_SIZE_FILE) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0
