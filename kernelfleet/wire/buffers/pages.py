"""What the kernel tells about pages of this process.

numpy is what makes large buffers, so nothing is told where nobody has imported it.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Any

_PAGE_STATES = "/proc/self/pagemap"
#: Flags of a page: it is in memory, in swap, and part of a file or of shared memory.
_PRESENT, _SWAPPED, _OF_A_FILE = 1 << 63, 1 << 62, 1 << 61
_PAGES_AT_ONCE = 1 << 17


def address_of(view: Any) -> int | None:
    """Where a buffer is; None if numpy is not there to tell."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    return int(numpy.frombuffer(view, dtype="u1").__array_interface__["data"][0])


def were_written(address: int, nbytes: int) -> bool:
    """Whether pages of a private mapping differ from what is mapped, or nobody can tell.

    A page that was written to is this process's own, and no more a part of the file.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return True
    first, last = address // mmap.PAGESIZE, (address + nbytes - 1) // mmap.PAGESIZE
    try:
        with open(_PAGE_STATES, "rb", buffering=0) as file:
            for start in range(first, last + 1, _PAGES_AT_ONCE):
                count = min(_PAGES_AT_ONCE, last + 1 - start)
                data = os.pread(file.fileno(), 8 * count, 8 * start)
                if len(data) != 8 * count:
                    return True
                states = numpy.frombuffer(data, dtype="u8")
                there = (states & (_PRESENT | _SWAPPED)) != 0
                if bool((there & ((states & _OF_A_FILE) == 0)).any()):
                    return True
    except OSError:
        return True
    return False
