"""Keeping the logs of a fleet bounded: kernels write to them directly, and may write a lot."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

#: A log that has grown beyond this is cut down to its last part.
MAX_LOG_BYTES = 4 * 1024 * 1024
KEPT_BYTES = 256 * 1024
CHECK_SECONDS = 10.0


def trim(path: Path, max_bytes: int = MAX_LOG_BYTES, kept_bytes: int = KEPT_BYTES) -> bool:
    """Cut a log down to its last part; whether that was necessary.

    The kernel goes on writing: it has opened the file for appending.
    """
    with contextlib.suppress(OSError), path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            file.seek(size - kept_bytes)
            tail = file.read(kept_bytes)
            file.seek(0)
            file.write(b"[...]\n" + tail)
            file.truncate()
            return True
    return False


class LogKeeper:
    """Looks after the engines' logs of one fleet, on the controller's loop."""

    def __init__(self, directory: Path, *, remove_at_end: bool) -> None:
        self._directory, self._remove_at_end = directory, remove_at_end
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check)
        for path in self._directory.glob("engine-*.log"):
            trim(path)

    def close(self) -> None:
        """Stop looking; an embedded fleet's logs go with it."""
        self._timer.cancel()
        if self._remove_at_end:
            shutil.rmtree(self._directory, ignore_errors=True)
