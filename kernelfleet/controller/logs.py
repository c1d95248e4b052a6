"""The log files of engines: what kernel processes write to stdout and stderr, bounded in size.

Kernels write to them directly, and may write a lot. Nothing depends on a log: if the disk is full
or cannot be written to, the engine runs on without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Callable
from logging import Logger
from pathlib import Path

from kernelfleet.wire.files.private_files import (
    open_any,
    open_private,
    private_dir,
)

#: A log that has grown beyond ``MAX_LOG_BYTES`` is cut down to its last ``KEPT_BYTES``.
MAX_LOG_BYTES = 4 * 1024 * 1024
KEPT_BYTES = 256 * 1024
CHECK_SECONDS = 10.0

#: How long the logs of a fleet that does not run are kept after they were last written.
KEPT_SECONDS = 30 * 86400.0

#: Written before the output of each process of an engine; a restart does not begin a new log.
HEADING = "--- engine %d started %s\n"

#: How the traceback that faulthandler writes at a crash begins.
CRASHES = ("Fatal Python error: ", "Windows fatal exception: ")


def open_log(directory: Path, engine_id: int, log: Logger) -> int:
    """The descriptor a kernel is to write to; the null device if the system has no log for it.

    A restarted engine continues its log, so that the traceback of a crash is not lost.

    Raises:
        PermissionError: a file of another user is where the log should be.
    """
    try:
        make_log_dir(directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        fd = open_private(engine_log(directory, engine_id), flags)
    except OSError as error:
        if error.errno is None:
            raise
        log.warning("engine %d has no log: %s", engine_id, error)
        return os.open(os.devnull, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
    with contextlib.suppress(OSError):  # a full disk costs the log, not the engine
        os.write(fd, (HEADING % (engine_id, time.strftime("%Y-%m-%d %H:%M:%S"))).encode())
    return fd


def make_log_dir(directory: Path) -> None:
    """Make the directory of a fleet's logs, private as all above it that is ours."""
    for each in (directory.parent.parent, directory.parent, directory):
        private_dir(each)


def engine_log(directory: Path, engine_id: int) -> Path:
    """The log of one engine."""
    return directory / f"engine-{engine_id}.log"


def add_output(path: Path, text: str) -> None:
    """Add what a foreign kernel has printed; kernelfleet's own kernels write their logs themselves.

    Text beyond twice the limit is dropped until the log has been cut down.
    """
    with contextlib.suppress(OSError):
        fd = open_private(path, os.O_WRONLY | os.O_APPEND)
        try:
            room = 2 * MAX_LOG_BYTES - os.fstat(fd).st_size
            if room > 0:
                os.write(fd, text.encode("utf-8", "backslashreplace")[:room])
        finally:
            os.close(fd)


def last_life(text: str) -> str:
    """The part of an engine's log that its present process has written."""
    start = HEADING.partition("%")[0]
    return text.rpartition(start)[2].partition("\n")[2] if start in text else text


def tells_a_crash(path: Path) -> bool:
    """Whether the present process of an engine has written the traceback of a crash."""
    words = last_words(path)
    return any(crash in words for crash in CRASHES)


def last_words(path: Path) -> str:
    """The end of what the present process of an engine has written to its log."""
    with contextlib.suppress(OSError), os.fdopen(open_any(path), "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - KEPT_BYTES))
        return last_life(file.read().decode(errors="replace"))
    return ""


def remove_engine_logs(directory: Path) -> None:
    """Remove the engines' logs, and their directory if there is nothing else in it."""
    with contextlib.suppress(OSError):
        for path in directory.glob("engine-*.log"):
            path.unlink()
        directory.rmdir()


def forget_old_logs(own: Path, is_running: Callable[[str], bool]) -> None:
    """Remove old logs; called when a fleet starts.

    Args:
        own: The log directory of the fleet that starts. The engine logs of an earlier fleet of
            this name are removed whatever their age; the controller's log is continued.
        is_running: Whether a fleet of some name runs.
    """
    remove_engine_logs(own)
    with contextlib.suppress(OSError):
        for directory in own.parent.iterdir():
            times = [each.stat().st_mtime for each in (directory, *directory.iterdir())]
            if max(times) < time.time() - KEPT_SECONDS and not is_running(directory.name):
                shutil.rmtree(directory, ignore_errors=True)


def trim(path: Path, max_bytes: int = MAX_LOG_BYTES, kept_bytes: int = KEPT_BYTES) -> bool:
    """Cut a log down to its last part; whether that was necessary.

    The kernel need not notice: it has opened the file for appending.
    """
    with contextlib.suppress(OSError), os.fdopen(open_private(path, os.O_RDWR), "r+b") as file:
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
    """Keeps the engine logs of one fleet bounded; runs on the controller's loop."""

    def __init__(self, directory: Path, *, remove_at_end: bool) -> None:
        self._directory, self._remove_at_end = directory, remove_at_end
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check)
        for path in self._directory.glob("engine-*.log"):
            trim(path)

    def close(self) -> None:
        """Stop checking, and remove the logs of an embedded fleet."""
        self._timer.cancel()
        if self._remove_at_end:
            shutil.rmtree(self._directory, ignore_errors=True)
