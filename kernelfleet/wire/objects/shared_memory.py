"""Large buffers in shared memory: written once, mapped by every process that gets them.

::

    sender              controller                receivers
    Block.write(view)
      ticket ----------> Block.open(ticket) --ticket--> Block.open(...).map()   (as many as like)

A ``SharedBuffer`` is a sealed memfd: nobody can change, shrink or grow it any more. What travels
is a
*ticket*, which names a process and a descriptor; the receiver opens it through ``/proc``, checks
what it got, and has a descriptor of its own. A mapping is private (copy on write), so that every
receiver may write to its array and nobody pays for a copy until one does. Nothing has a name in
the file system, and nothing is left when the last descriptor closes.

Works on one Linux machine and for one user; whether two processes share one is found out with
``probe``, not assumed. Elsewhere the bytes travel as frames.
"""

from __future__ import annotations

import mmap
import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from json import dumps, loads  # by name: user code may put something else in their place
from typing import Any

from kernelfleet.wire.platforms import HERE

#: Buffers from this size on go into shared memory.
BLOCK_BYTES = 1024 * 1024

_MAGIC = b"kernelfleet-block:"
_NAME = "kernelfleet"
#: How ``/proc`` shows the descriptor of a block.
_LINK = f"/memfd:{_NAME} "
_MAX_TICKET_BYTES = 200
_MAX_SECRET_BYTES = 100
#: Written in pieces, so that an interrupt need not wait for the whole.
_PIECE_BYTES = 64 * 1024 * 1024


#: F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE, which only Linux knows.
_SEALS = 0x1 | 0x2 | 0x4 | 0x8


class LostSharedBuffer(RuntimeError):
    """A ticket that leads nowhere: its sender is gone, or it is not what it says."""


class SharedBuffer:
    """One sealed memfd, of which this object owns a descriptor."""

    __slots__ = ("__weakref__", "_fd", "nbytes")

    def __init__(self, fd: int, nbytes: int) -> None:
        self._fd = fd
        self.nbytes = nbytes

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:  # a Ctrl-C may have come before it was set
            os.close(self._fd)
            self._fd = -1

    @classmethod
    def write(cls, data: Any) -> SharedBuffer:
        """Copy bytes into a new block and seal it.

        Raises:
            OSError: there is no memory for it.
        """
        view = memoryview(data).cast("B")
        block = cls(os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), view.nbytes)
        written = 0
        while written < view.nbytes:
            # By write, never through a mapping: without memory that would be a SIGBUS.
            written += os.pwrite(block._fd, view[written : written + _PIECE_BYTES], written)
        _add_seals(block._fd)
        return block

    @property
    def ticket(self) -> bytes:
        """What another process needs to open the block, as long as this object lives."""
        return _MAGIC + dumps([os.getpid(), self._fd, self.nbytes]).encode()

    @classmethod
    def open(cls, ticket: bytes) -> SharedBuffer:
        """The block a ticket names, with a descriptor of our own.

        Raises:
            LostBlock: it is not there, not ours, not sealed, or not as large as it says.
        """
        if not HERE.shared_memory:
            raise LostSharedBuffer("processes share no blocks of memory on this system")
        try:
            pid, number, nbytes = _read_ticket(ticket)
            fd = _open_memory(f"/proc/{pid}/fd/{number}", nbytes)
        except (OSError, ValueError) as error:
            raise LostSharedBuffer(f"a block of shared memory cannot be opened: {error}") from None
        block = cls(fd, nbytes)
        if not _is_sealed(fd):
            raise LostSharedBuffer("a ticket does not name a sealed block")
        return block

    def map(self) -> memoryview:
        """Its bytes, ours to write to; the memory is freed with the last view of them."""
        if self.nbytes == 0:
            return memoryview(bytearray())
        flags, access = mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE
        return memoryview(mmap.mmap(self._fd, self.nbytes, flags=flags, prot=access))

    def view(self) -> memoryview:
        """Its bytes, read-only, for sending them as a frame."""
        if self.nbytes == 0:
            return memoryview(b"")
        return memoryview(
            mmap.mmap(self._fd, self.nbytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        )


class SharedBufferWriter:
    """A block that is written piece by piece as its bytes arrive.

    Raises:
        OSError: there is no descriptor for it.
    """

    def __init__(self, nbytes: int) -> None:
        self._block = SharedBuffer(
            os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), nbytes
        )
        self._at = 0

    def write(self, data: memoryview) -> None:
        """Append bytes.

        Raises:
            OSError: there is no memory for them.
        """
        while data.nbytes:
            written = os.pwrite(self._block._fd, data, self._at)
            self._at += written
            data = data[written:]

    def finish(self) -> SharedBuffer:
        """The block, sealed."""
        _add_seals(self._block._fd)
        return self._block


def _read_ticket(ticket: bytes) -> list[int]:
    """Process, descriptor and size, as integers and nothing else."""
    fields = loads(ticket[len(_MAGIC) :])
    if not isinstance(fields, list) or len(fields) != 3:
        raise ValueError("a ticket has three fields")
    if not all(type(field) is int and field >= 0 for field in fields):
        raise ValueError("a ticket is made of numbers")
    return fields


def _open_memory(path: str, nbytes: int) -> int:
    """A descriptor of our own for memory of this user and size.

    A ticket is only text: what it names may as well be a fifo, which would block us in ``open``, a
    terminal, a device, or a file on a disk that does not answer. So look first.

    Raises:
        OSError: it is not there, or not ours.
        ValueError: it is something else.
    """
    if not os.readlink(path).startswith(_LINK):
        raise ValueError("the ticket names no block")
    looked_at = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        info = os.fstat(looked_at)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid() or info.st_size != nbytes:
            raise ValueError("the ticket names no block of ours of the size it says")
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        return os.open(f"/proc/self/fd/{looked_at}", flags)
    finally:
        os.close(looked_at)


def _add_seals(fd: int) -> None:
    import fcntl

    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)


def _is_sealed(fd: int) -> bool:
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:
        return False


def available() -> bool:
    """Whether this process can make blocks; ``KERNELFLEET_SHARED_MEMORY=0`` says no."""
    wanted = os.environ.get("KERNELFLEET_SHARED_MEMORY", "1") not in ("0", "no", "false")
    return wanted and HERE.shared_memory


# -- frames -----------------------------------------------------------------------------------


def to_frames(buffers: Iterable[Any], *, shared: bool) -> list[Any]:
    """Buffers as they travel: blocks as tickets, or as their bytes where memory is not shared."""
    return [
        (buffer.ticket if shared else buffer.view()) if isinstance(buffer, SharedBuffer) else buffer
        for buffer in buffers
    ]


def from_frames(frames: Sequence[Any]) -> list[Any]:
    """Frames as they arrived, tickets replaced by the blocks they name.

    Raises:
        LostBlock: one cannot be opened.
    """
    return [_opened(frame) for frame in frames]


def _opened(frame: Any) -> Any:
    if isinstance(frame, SharedBuffer):
        return frame  # it arrived as bytes and was put into shared memory here
    if len(frame) > _MAX_TICKET_BYTES:
        return frame
    raw = frame if isinstance(frame, bytes) else bytes(getattr(frame, "buffer", frame))
    # No pickle begins like this, and buffers as small as a ticket stay inside theirs.
    return SharedBuffer.open(raw) if raw.startswith(_MAGIC) else frame


def frame_bytes(frame: Any) -> int:
    """The size of a buffer: bytes-like, a frame of pyzmq, or a block."""
    if isinstance(frame, SharedBuffer):
        return frame.nbytes
    return memoryview(getattr(frame, "buffer", frame)).nbytes


# -- probing ----------------------------------------------------------------------------------


class Probe:
    """A small block with a secret, to find out whether another process can open our blocks."""

    def __init__(self) -> None:
        self.secret = secrets.token_hex(16)
        self.block: SharedBuffer | None = None
        if available():
            try:
                self.block = SharedBuffer.write(self.secret.encode())
            except OSError:
                self.block = None

    def fields(self) -> dict[str, str]:
        """What to send along; empty if we cannot make blocks."""
        if self.block is None:
            return {}
        return {"probe": self.block.ticket.decode(), "secret": self.secret}


def probe_succeeds(fields: dict[str, Any]) -> bool:
    """Whether we can open the blocks of whoever sent these fields, and make blocks ourselves."""
    ticket, secret = fields.get("probe"), fields.get("secret")
    if not available() or not isinstance(ticket, str) or not isinstance(secret, str):
        return False
    try:
        block = SharedBuffer.open(ticket.encode(errors="replace"))
    except LostSharedBuffer:
        return False
    return block.nbytes <= _MAX_SECRET_BYTES and bytes(block.view()) == secret.encode(
        errors="replace"
    )
