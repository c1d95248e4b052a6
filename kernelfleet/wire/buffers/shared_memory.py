"""Large buffers in shared memory: written once, mapped by every process that gets them.

::

    sender                    controller                   receivers (any number)
    SharedBuffer.write(view)
      handle ---------------> SharedBuffer.open(handle)
                                handle ------------------> SharedBuffer.open(handle).map()

A ``SharedBuffer`` is a sealed memfd: nobody can change, shrink or grow it any more. What travels
is its *handle*, which names a process and one of its descriptors. The receiver opens it through
``/proc``, checks what it has opened, and then holds a descriptor of its own. A mapping is private
(copy on write), so every receiver may write to its array, and a page is copied only when somebody
writes to it. The memory has no name in the file system and is freed when the last descriptor
closes.

This works between processes of one user on one Linux machine. Whether two processes share memory
is found out with a ``Probe``. Where they do not, the bytes travel as frames.
"""

from __future__ import annotations

import mmap
import os
import secrets
import stat
from json import dumps, loads  # imported by name: user code may replace the attributes of json
from typing import Any

from kernelfleet.wire.buffers import huge_pages, received
from kernelfleet.wire.platforms import HERE

#: Buffers of at least this size go into shared memory.
SHARED_BYTES = 1024 * 1024

MAGIC = b"kernelfleet-buffer:"
_NAME = "kernelfleet"
#: How ``/proc`` shows the descriptor of a shared buffer.
_LINK = f"/memfd:{_NAME} "
_MAX_SECRET_BYTES = 100
#: How many bytes one system call writes, so that an interrupt need not wait for all of them.
_PIECE_BYTES = 64 * 1024 * 1024


#: A flag of a process in /proc (include/linux/sched.h).
_EXITING = 0x4
#: F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE, which only Linux knows.
_SEALS = 0x1 | 0x2 | 0x4 | 0x8


class LostSharedBuffer(RuntimeError):
    """The shared buffer of a handle cannot be opened: its process has ended, or it is forged.

    Attributes:
        owner_has_ended: Whether the process that the handle names is gone.
    """

    def __init__(self, text: str, *, owner_has_ended: bool = False) -> None:
        super().__init__(text)
        self.owner_has_ended = owner_has_ended


class SharedBuffer:
    """One sealed memfd, of which this object owns a descriptor."""

    __slots__ = ("__weakref__", "_fd", "nbytes")

    def __init__(self, fd: int, nbytes: int) -> None:
        self._fd = fd
        self.nbytes = nbytes

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:  # not set if a Ctrl-C has interrupted ``__init__``
            os.close(self._fd)
            self._fd = -1

    @classmethod
    def of(cls, view: memoryview) -> SharedBuffer:
        """The shared buffer that these bytes have come in and still are, or a new one of them.

        Raises:
            OSError: There is no memory for it.
        """
        fd = received.descriptor_of(view)
        return cls.write(view) if fd is None else cls(fd, view.nbytes)

    @classmethod
    def write(cls, data: Any) -> SharedBuffer:
        """Copy bytes into a new shared buffer and seal it.

        Raises:
            OSError: There is no memory for it.
        """
        view = memoryview(data).cast("B")
        buffer = cls(os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), view.nbytes)
        written = huge_pages.fill(buffer._fd, view)
        while written < view.nbytes:
            # Not through a mapping: where memory runs out, that would raise SIGBUS.
            written += os.pwrite(buffer._fd, view[written : written + _PIECE_BYTES], written)
        _add_seals(buffer._fd)
        return buffer

    @property
    def handle(self) -> bytes:
        """What another process needs to open the buffer. Valid as long as this object lives."""
        return MAGIC + dumps([os.getpid(), self._fd, self.nbytes]).encode()

    @classmethod
    def open(cls, handle: bytes) -> SharedBuffer:
        """Open the buffer that a handle names, with a descriptor of this process's own.

        Raises:
            LostSharedBuffer: It is not there, belongs to another user, is not sealed, or has not
                the size that the handle says.
        """
        if not HERE.shared_memory:
            raise LostSharedBuffer("processes cannot share memory on this system")
        try:
            pid, number, nbytes = _read_handle(handle)
        except ValueError as error:
            raise LostSharedBuffer(f"a buffer in shared memory cannot be opened: {error}") from None
        try:
            fd = _open_memory(f"/proc/{pid}/fd/{number}", nbytes)
        except (OSError, ValueError) as error:
            raise LostSharedBuffer(
                f"a buffer in shared memory cannot be opened: {error}",
                owner_has_ended=has_ended(pid),
            ) from None
        buffer = cls(fd, nbytes)
        if not _is_sealed(fd):
            raise LostSharedBuffer("a handle does not name a sealed buffer")
        return buffer

    def map(self) -> memoryview:
        """Map the bytes, writable for this process only. The last view of them frees the memory."""
        if self.nbytes == 0:
            return memoryview(bytearray())
        flags, access = mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE
        mapping = mmap.mmap(self._fd, self.nbytes, flags=flags, prot=access)
        received.note(mapping, self._fd)
        return memoryview(mapping)

    def view(self) -> memoryview:
        """Map the bytes read-only, to send them as a frame."""
        if self.nbytes == 0:
            return memoryview(b"")
        return memoryview(
            mmap.mmap(self._fd, self.nbytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        )


def has_ended(pid: int) -> bool:
    """Whether a process is gone, has only its exit code left, or is just ending.

    One that is ending has closed its descriptors before it is a zombie (``PF_EXITING``, proc(5)).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *_, flags = file.read().rpartition(b")")[2].split()[:7]
        return state in (b"Z", b"X", b"x") or bool(int(flags) & _EXITING)
    except (OSError, ValueError):
        return True


class SharedBufferWriter:
    """Writes a shared buffer piece by piece, as its bytes arrive.

    Raises:
        OSError: The process can open no more descriptors.
    """

    def __init__(self, nbytes: int) -> None:
        self._buffer = SharedBuffer(
            os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), nbytes
        )
        self._at = 0

    def write(self, data: memoryview) -> None:
        """Append bytes.

        Raises:
            OSError: There is no memory for them.
        """
        while data.nbytes:
            written = os.pwrite(self._buffer._fd, data, self._at)
            self._at += written
            data = data[written:]

    def finish(self) -> SharedBuffer:
        """Seal the buffer and return it."""
        _add_seals(self._buffer._fd)
        return self._buffer


def _read_handle(handle: bytes) -> list[int]:
    """Return process id, descriptor and size; a ``bool`` counts as no integer."""
    fields = loads(handle[len(MAGIC) :])
    if not isinstance(fields, list) or len(fields) != 3:
        raise ValueError("a handle has three fields")
    if not all(type(field) is int and field >= 0 for field in fields):
        raise ValueError("a handle is made of numbers")
    return fields


def _open_memory(path: str, nbytes: int) -> int:
    """Open memory that belongs to this user and has this size.

    A handle is only text, and whoever forges one may name a fifo, which would block ``open``, a
    terminal, a device, or a file on a disk that does not answer. So the path is examined before
    it is opened for reading.

    Raises:
        OSError: It is not there, or this user may not open it.
        ValueError: It is no shared buffer of this user and size.
    """
    if not os.readlink(path).startswith(_LINK):
        raise ValueError("the handle names no buffer")
    looked_at = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        info = os.fstat(looked_at)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid() or info.st_size != nbytes:
            raise ValueError("the handle names no buffer of this user and of the size it says")
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
    """Tell whether this process makes shared buffers (not if KERNELFLEET_SHARED_MEMORY is 0)."""
    wanted = os.environ.get("KERNELFLEET_SHARED_MEMORY", "1") not in ("0", "no", "false")
    return wanted and HERE.shared_memory


# -- probing ----------------------------------------------------------------------------------


class Probe:
    """A small shared buffer with a secret: who can read it shares memory with this process."""

    def __init__(self) -> None:
        self.secret = secrets.token_hex(16)
        self.buffer: SharedBuffer | None = None
        if available():
            try:
                self.buffer = SharedBuffer.write(self.secret.encode())
            except OSError:
                self.buffer = None

    def fields(self) -> dict[str, str]:
        """Return the fields to send; none if this process cannot make shared buffers."""
        if self.buffer is None:
            return {}
        return {"probe": self.buffer.handle.decode(), "secret": self.secret}


def probe_succeeds(fields: dict[str, Any]) -> bool:
    """Tell whether this process shares memory with the sender of a probe's fields."""
    handle, secret = fields.get("probe"), fields.get("secret")
    if not available() or not isinstance(handle, str) or not isinstance(secret, str):
        return False
    try:
        buffer = SharedBuffer.open(handle.encode(errors="replace"))
    except LostSharedBuffer:
        return False
    return buffer.nbytes <= _MAX_SECRET_BYTES and bytes(buffer.view()) == secret.encode(
        errors="replace"
    )
