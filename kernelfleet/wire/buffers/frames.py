"""Buffers as what travels, and back: bytes as they are, and handles of what two processes share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kernelfleet.wire.buffers import mapped_files, shared_memory
from kernelfleet.wire.buffers.mapped_files import FileRange, MappedFile
from kernelfleet.wire.buffers.shared_memory import LostSharedBuffer, SharedBuffer

_MAX_HANDLE_BYTES = 200


def to_frames(buffers: Iterable[Any], *, shared: bool) -> list[Any]:
    """Turn buffers into what travels.

    A shared buffer becomes its handle, or its bytes where the receiver does not share memory.

    Raises:
        OSError: a shared buffer cannot be mapped, or a file not be read.
    """
    return [
        (buffer.handle if shared else buffer.view()) if isinstance(buffer, SharedBuffer) else buffer
        for buffer in buffers
    ]


def from_frames(frames: Sequence[Any], *, with_files: bool = False) -> list[Any]:
    """Replace the handles among frames that have arrived by the shared buffers they name.

    Args:
        frames: The frames.
        with_files: Whether parts of files may be among them: on their way to an engine only.

    Raises:
        LostSharedBuffer: One of them cannot be opened.
    """
    files: dict[bytes, MappedFile] | None = {} if with_files else None
    return [_opened(frame, files) for frame in frames]


def _opened(frame: Any, files: dict[bytes, MappedFile] | None) -> Any:
    if isinstance(frame, SharedBuffer):
        return frame  # its bytes have been written into shared memory as they arrived
    if len(frame) > _MAX_HANDLE_BYTES:
        return frame
    raw = frame if isinstance(frame, bytes) else bytes(getattr(frame, "buffer", frame))
    # Data cannot be mistaken for a handle: no pickle begins like this, and buffers as small as a
    # handle stay inside their pickle.
    if raw.startswith(shared_memory.MAGIC):
        return SharedBuffer.open(raw)
    if raw.startswith(mapped_files.MAGIC):
        if files is None:
            raise LostSharedBuffer("files are shared on the way to engines only")
        return FileRange.open(raw, files)
    return frame


def frame_bytes(frame: Any) -> int:
    """Return the size of a buffer: a bytes-like object, a frame of pyzmq, or a ``SharedBuffer``."""
    if isinstance(frame, SharedBuffer):
        return frame.nbytes
    return memoryview(getattr(frame, "buffer", frame)).nbytes
