"""The controller's log: a private file of bounded size, which is begun when the fleet is ready.

What is logged before that is kept in memory. A start that fails says why on stderr, and one that
is interrupted has nothing to report, so neither of them leaves a file.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from io import TextIOWrapper
from logging.handlers import MemoryHandler, RotatingFileHandler
from typing import Any

from kernelfleet.wire.files import fleet_paths
from kernelfleet.wire.files.private_files import open_private

LOG_FILE_BYTES = 1 << 20
_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_NEVER = logging.CRITICAL + 1


class PrivateLog(RotatingFileHandler):
    """A log file that only its owner can read, whatever the umask is."""

    def _open(self) -> TextIOWrapper:
        fd = open_private(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return TextIOWrapper(open(fd, "ab"), encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Ignore that a record could not be written; logging would print a traceback for each."""

    def close(self) -> None:
        """Close the file, and ignore errors: what could not be written is lost."""
        with contextlib.suppress(OSError):
            super().close()


class ControllerLog(MemoryHandler):
    """Keeps records in memory until ``begin``, and writes all to the log file from then on."""

    def __init__(self, name: str) -> None:
        super().__init__(capacity=10_000, flushLevel=_NEVER, flushOnClose=False)
        self._directory = fleet_paths.make_log_dir(
            name
        )  # (a daemon has no other place for messages)

    def begin(self) -> None:
        """Write what was kept to the file, and from now on each record at once."""
        path = self._directory / "controller.log"
        log = PrivateLog(path, maxBytes=LOG_FILE_BYTES, backupCount=1, delay=True)
        log.setFormatter(self.formatter)
        self.setTarget(log)
        self.flushLevel = logging.NOTSET
        self.flush()

    def close(self) -> None:
        """Close the file; records that were only kept are dropped."""
        target = self.target
        super().close()
        if target is not None:
            target.close()
        with contextlib.suppress(OSError):
            self._directory.rmdir()  # (empty, if the start has failed)


@contextlib.contextmanager
def logging_to_file(
    log: logging.Logger, name: str, level: Any, *, to_stderr: bool
) -> Iterator[ControllerLog]:
    """Have the records of kernelfleet's logger written to the fleet's log file.

    Raises:
        OSError: The log cannot be written; the message names the directory.
    """
    file = ControllerLog(name)
    handlers: list[logging.Handler] = [file]
    if to_stderr:
        handlers.append(logging.StreamHandler())
        handlers[-1].setLevel(logging.WARNING if level == logging.INFO else level)
    log.setLevel(level)
    for handler in handlers:
        handler.setFormatter(logging.Formatter(_FORMAT))
        log.addHandler(handler)
    try:
        yield file
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()
