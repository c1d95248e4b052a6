"""What has come in a shared buffer goes on as the same buffer, if nobody has written to it.

An array that a map returns and the next map takes, or that one engine has made and all others get,
is then copied once and not at each step. A shared buffer is sealed, so it still holds what has
come; which of the mapped pages were written to meanwhile, the kernel tells.
"""

from __future__ import annotations

import mmap
import os
import weakref
from dataclasses import dataclass

from kernelfleet.wire.buffers.pages import address_of, were_written


@dataclass(frozen=True, slots=True)
class _Received:
    mapping: weakref.ref[mmap.mmap]
    nbytes: int
    #: Device and inode of the memfd: the mapping has a descriptor of it that it does not tell.
    identity: tuple[int, int]


#: By their addresses: the mappings that are there.
_received: dict[int, _Received] = {}


def note(mapping: mmap.mmap, fd: int) -> None:
    """Remember that this mapping shows the whole of a shared buffer."""
    address = address_of(mapping)
    if address is None:
        return
    info = os.fstat(fd)

    def forget(gone: weakref.ref[mmap.mmap]) -> None:
        there = _received.get(address)
        if there is not None and there.mapping is gone:
            del _received[address]

    identity = info.st_dev, info.st_ino
    _received[address] = _Received(weakref.ref(mapping, forget), len(mapping), identity)


def descriptor_of(view: memoryview) -> int | None:
    """A new descriptor of the shared buffer that has exactly these bytes; None if there is none."""
    if not _received:
        return None
    address = address_of(view)
    known = None if address is None else _received.get(address)
    if address is None or known is None or known.nbytes != view.nbytes:
        return None
    if known.mapping() is None or were_written(address, view.nbytes):
        return None
    return _duplicate(known.identity)


def _duplicate(identity: tuple[int, int]) -> int | None:
    """A new descriptor of a memfd of which this process has one."""
    for name in os.listdir("/proc/self/fd"):
        try:
            info = os.fstat(int(name))
            if (info.st_dev, info.st_ino) == identity:
                return os.dup(int(name))
        except OSError:
            continue  # closed since it was listed; or there are none left
    return None
