"""Where kernels write what is not for clients: files, kept bounded, on which nothing depends.

Kernels write to them directly, and may write a lot. A disk that is full, or cannot be written to,
costs the log and not the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from logging import Logger
from pathlib import Path

from kernelfleet.wire.private import open_private, private_dir

#: A log that has grown beyond this is cut down to its last part.
MAX_LOG_BYTES = 4 * 1024 * 1024
KEPT_BYTES = 256 * 1024
CHECK_SECONDS = 10.0


def open_log(directory: Path, engine_id: int, log: Logger) -> int:
    """The descriptor a kernel is to write to; the null device if the system has no log for it.

    Raises:
        PermissionError: something of somebody else's stands where the log should be.
    """
    try:
        for each in (directory.parent.parent, directory.parent, directory):
            private_dir(each)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        return open_private(directory / f"engine-{engine_id}.log", flags)
    except OSError as error:
        if error.errno is None:
            raise
        log.warning("engine %d has no log: %s", engine_id, error)
        return os.open(os.devnull, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))


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
