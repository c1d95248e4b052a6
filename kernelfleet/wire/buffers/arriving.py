"""Where the frames of a large message go while they arrive, part by part."""

from __future__ import annotations

from typing import Any, Protocol

from kernelfleet.wire.buffers.shared_memory import SharedBuffer, SharedBufferWriter


class Left:
    """Stands for a buffer that was not kept: it is too large, or there was no memory for it."""

    def __init__(self, nbytes: int, reason: str = "") -> None:
        self.nbytes, self.reason = nbytes, reason


class Target(Protocol):
    """Where the bytes of one frame go."""

    def write(self, data: memoryview) -> None:
        """Take the next bytes."""

    def finish(self) -> Any:
        """The frame, now that it is complete."""


class Pieces:
    """In the pieces that came, joined at once: for what a part or two can hold."""

    def __init__(self) -> None:
        self._pieces: list[memoryview] = []

    def write(self, data: memoryview) -> None:
        """Keep them."""
        self._pieces.append(data)

    def finish(self) -> bytearray:
        """All of them as one."""
        return bytearray().join(self._pieces)


class Growing:
    """In memory of this process, which grows with what has come, not with what was announced."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: memoryview) -> None:
        """Append them."""
        self._data += data

    def finish(self) -> bytearray:
        """What has come."""
        return self._data


class Shared:
    """In a block of shared memory, which engines map: it is copied once for all of them."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._writer: SharedBufferWriter | None = SharedBufferWriter(nbytes)
        self._reason = ""

    def write(self, data: memoryview) -> None:
        """Write them into the block, as long as there is memory for it."""
        if self._writer is not None:
            try:
                self._writer.write(data)
            except OSError as error:
                self._writer, self._reason = None, f"there is no memory for it: {error}"

    def finish(self) -> SharedBuffer | Left:
        """The block; what stands for it if memory ran out."""
        if self._writer is None:
            return Left(self._nbytes, self._reason)
        return self._writer.finish()


class Nowhere:
    """Not kept."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes

    def write(self, data: memoryview) -> None:
        """Forget them."""

    def finish(self) -> Left:
        """What stands for it."""
        return Left(self._nbytes)
