"""Which memory of this process is a read-only mapping of a file, as ``/proc/self/maps`` tells.

The kernel knows it of any memory, whoever has mapped it: ``np.memmap``, ``np.load(...,
mmap_mode="r")`` and views of theirs, ``pyarrow.memory_map``, anything else that gives buffers.

Only what the process cannot write to counts. Memory that it may write to can hold what is not in
the file (``mode="c"``), or is written to through the mapping (``"r+"``), where a copy would have
been the receiver's own. What counts may still change: with the file.
"""

from __future__ import annotations

import bisect
import mmap
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kernelfleet.wire.buffers.mapped_files import FileRange, MappedFile
from kernelfleet.wire.buffers.pages import address_of, were_written

_MAPS = "/proc/self/maps"
#: Start, end, whether it is private, offset in the file, device and inode, path; as proc(5) has it.
_LINE = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) r--([sp]) ([0-9a-f]+) (\S+ [1-9][0-9]*) +(/.*)$", re.MULTILINE
)


@dataclass(slots=True)
class Mapping:
    """Memory that shows a part of a file and that this process cannot write to."""

    start: int
    stop: int
    private: bool
    offset: int
    #: Device and inode. ``os.stat`` may say others, as on btrfs and overlayfs.
    identity: bytes
    path: bytes

    def continues(self, other: Mapping) -> bool:
        """Whether it begins where another ends, in memory and in the file."""
        return (
            (other.stop, other.private, other.identity, other.path)
            == (self.start, self.private, self.identity, self.path)
        ) and self.offset - other.offset == other.stop - other.start


def parse(maps: bytes) -> list[Mapping]:
    """The read-only mappings of files among those of a process, ascending."""
    found: list[Mapping] = []
    for start, stop, kind, offset, identity, path in _LINE.findall(maps):
        each = Mapping(int(start, 16), int(stop, 16), kind == b"p", int(offset, 16), identity, path)
        if found and each.continues(found[-1]):
            found[-1].stop = each.stop  # one may be cut in two by advice about a part of it
        else:
            found.append(each)
    return found


def find(mappings: Sequence[Mapping], address: int, nbytes: int) -> Mapping | None:
    """The mapping that all of these bytes are in."""
    at = bisect.bisect_right(mappings, address, key=lambda each: each.start) - 1
    if at < 0 or address + nbytes > mappings[at].stop:
        return None
    return mappings[at]


def own() -> list[Mapping]:
    """Those of this process as of now; none where nobody tells."""
    try:
        with open(_MAPS, "rb") as file:
            return parse(file.read())
    except OSError:
        return []


def file_ranges(views: Sequence[memoryview]) -> list[FileRange | None]:
    """The parts of files that buffers show; None for a buffer that must be copied.

    The buffers must be held: what is told of their addresses is true as long as they live.
    """
    found: list[FileRange | None] = [None] * len(views)
    mappings, files = own(), dict[tuple[bytes, bytes], MappedFile | None]()
    for number, view in enumerate(views):
        address = address_of(view)
        if address is None or not view.nbytes:
            continue
        mapping = find(mappings, address, view.nbytes)
        if mapping is None or (mapping.private and were_written(address, view.nbytes)):
            continue
        key = mapping.path, mapping.identity
        if key not in files:
            files[key] = _file_of(mapping)
        file = files[key]
        if file is not None:
            offset = mapping.offset + address - mapping.start
            found[number] = FileRange(file, offset, view.nbytes)
    return found


def _file_of(mapping: Mapping) -> MappedFile | None:
    """The file of a mapping, if it can be opened and is still the one of that name.

    Its page is mapped and looked up: only so are the numbers of the same sort, as the file systems
    of containers tell others to ``stat`` than to ``maps``.
    """
    try:
        file = MappedFile(os.fsdecode(mapping.path), follow=False)
        with file.opened() as fd:
            page = mmap.mmap(fd, 1, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    except (OSError, ValueError):
        return None
    address = address_of(memoryview(page))
    there = None if address is None else find(own(), address, 1)
    return file if there is not None and there.identity == mapping.identity else None
