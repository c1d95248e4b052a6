"""Parts of files as buffers: where the sender has mapped a file, the receiver maps it as well.

::

    sender                       controller                    receivers on this machine
    mappings.file_ranges()
      FileRange.handle --------> FileRange.open(handle)
                                   handle -------------------> FileRange.open(handle)
                                                               map_ranges(): the same pages

What travels is a handle like that of a ``SharedBuffer``: a process and one of its descriptors,
never a path. So the receiver has the very file that the sender has mapped, even if it has been
renamed, replaced or deleted, or if its path means another file in the receiver's container. Each
holder has a descriptor of its own, opened with ``O_PATH``: it keeps the file, but nothing is read
through it, so that a controller does not wait for a disk. Only who maps the file opens it for
reading.

Pages are shared and read-only. As with any mapping of a file, who changes the file changes what is
seen, and whoever looks at what has been cut off gets SIGBUS. Therefore nobody but the user's own
code looks at mapped pages: where the bytes themselves must travel, they are read.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import dumps, loads  # imported by name: user code may replace the attributes of json

from kernelfleet.wire.buffers.shared_memory import LostSharedBuffer, SharedBuffer, has_ended
from kernelfleet.wire.platforms import HERE

MAGIC = b"kernelfleet-file:"
#: Process id, descriptor, device, inode, offset and size.
_FIELDS = 6


class MappedFile:
    """A regular file, of which this object owns a descriptor that only names it.

    Args:
        path: Where it is.
        follow: Whether the path may be a link, as those in ``/proc`` are.

    Raises:
        OSError: It is not there.
        ValueError: It is no regular file.
    """

    __slots__ = ("__weakref__", "device", "fd", "inode")

    def __init__(self, path: str, *, follow: bool) -> None:
        flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        self.fd = os.open(path, flags)
        info = os.fstat(self.fd)
        if not stat.S_ISREG(info.st_mode):
            raise ValueError("it is no file")
        self.device, self.inode = info.st_dev, info.st_ino

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:  # not set if it could not be opened
            os.close(self.fd)
            self.fd = -1

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor for reading, closed afterwards.

        Raises:
            OSError: This user may not read the file.
        """
        # What was a file when it was looked at is one still, so nothing blocks here for a fifo.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        fd = os.open(f"/proc/self/fd/{self.fd}", flags)
        try:
            yield fd
        finally:
            os.close(fd)

    def too_short(self) -> OSError:
        """What to raise where the file ends before the range does."""
        try:
            name = os.readlink(f"/proc/self/fd/{self.fd}")
        except OSError:
            name = "a mapped file"
        return OSError(f"{name} has become shorter than the array that was mapped from it")


class FileRange(SharedBuffer):
    """A part of a file that is a buffer of its own."""

    __slots__ = ("file", "offset")

    def __init__(self, file: MappedFile, offset: int, nbytes: int) -> None:
        super().__init__(-1, nbytes)  # the descriptor is that of the file
        self.file, self.offset = file, offset

    @property
    def handle(self) -> bytes:
        """What another process needs to find the file. Valid as long as this object lives."""
        file = self.file
        fields = [os.getpid(), file.fd, file.device, file.inode, self.offset, self.nbytes]
        return MAGIC + dumps(fields).encode()

    @classmethod
    def open(cls, handle: bytes, files: dict[bytes, MappedFile] | None = None) -> FileRange:
        """Find the file that a handle names.

        Args:
            handle: What the sender's ``handle`` was.
            files: Those of the same message, by what names them: they share a descriptor.

        Raises:
            LostSharedBuffer: The process is gone, or what it has there is not that file any more.
        """
        if not HERE.shared_memory:
            raise LostSharedBuffer("processes cannot share memory on this system")
        try:
            pid, number, device, inode, offset, nbytes = _read_handle(handle)
        except ValueError as error:
            raise LostSharedBuffer(f"a mapped file cannot be opened: {error}") from None
        known = files if files is not None else {}
        name = dumps([pid, number, device, inode]).encode()
        if name not in known:
            try:
                file = MappedFile(f"/proc/{pid}/fd/{number}", follow=True)
                if (file.device, file.inode) != (device, inode):
                    raise ValueError("the handle names another file")
            except (OSError, ValueError) as error:
                raise LostSharedBuffer(
                    f"a mapped file cannot be opened: {error}", owner_has_ended=has_ended(pid)
                ) from None
            known[name] = file
        return cls(known[name], offset, nbytes)

    def map(self) -> memoryview:
        """Map the bytes, read-only. The last view of them frees the mapping."""
        return map_ranges([self])[0]

    def view(self) -> memoryview:
        """Read the bytes, to send them as a frame.

        Raises:
            OSError: The file cannot be read, or has become shorter.
        """
        data, at = bytearray(self.nbytes), 0
        view = memoryview(data)
        with self.file.opened() as fd:
            while at < self.nbytes:
                count = os.preadv(fd, [view[at:]], self.offset + at)
                if count == 0:
                    raise self.file.too_short()
                at += count
        return view.toreadonly()


def map_ranges(ranges: Sequence[FileRange]) -> list[memoryview]:
    """Map parts of files read-only: one mapping, and so one descriptor, for all of one file.

    Raises:
        LostSharedBuffer: A file cannot be read any more, has become shorter, or finds no room.
    """
    spans: dict[MappedFile, tuple[int, int]] = {}
    for each in ranges:
        start, stop = spans.get(each.file, (each.offset, 0))
        spans[each.file] = min(start, each.offset), max(stop, each.offset + each.nbytes)
    mapped: dict[MappedFile, tuple[int, memoryview]] = {}
    for file, (first, stop) in spans.items():
        start = first - first % mmap.ALLOCATIONGRANULARITY
        mapped[file] = start, _map(file, start, stop)
    views: list[memoryview] = []
    for each in ranges:
        start, view = mapped[each.file]
        views.append(view[each.offset - start :][: each.nbytes])
    return views


def _map(file: MappedFile, start: int, stop: int) -> memoryview:
    try:
        with file.opened() as fd:
            if os.fstat(fd).st_size < stop:  # else whoever looked at the end would get SIGBUS
                raise file.too_short()
            flags, access = mmap.MAP_SHARED, mmap.PROT_READ
            return memoryview(mmap.mmap(fd, stop - start, flags=flags, prot=access, offset=start))
    except OSError as error:
        raise LostSharedBuffer(f"a mapped file cannot be mapped here: {error}") from None


def _read_handle(handle: bytes) -> list[int]:
    """Return the fields; a ``bool`` counts as no integer."""
    fields = loads(handle[len(MAGIC) :])
    if not isinstance(fields, list) or len(fields) != _FIELDS:
        raise ValueError(f"a handle has {_FIELDS} fields")
    if not all(type(field) is int and 0 <= field < 2**63 for field in fields):
        raise ValueError("a handle is made of numbers")
    if fields[-1] == 0:
        raise ValueError("nothing of the file is meant")
    return fields
