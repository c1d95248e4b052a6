"""The controller's log: a private file of bounded size, which begins when the fleet is ready.

What is logged before is kept in memory: a start that fails says why on stderr, and one that is
ended early has nothing to say, so that neither leaves files.
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
    """A log that its owner alone can read, whatever the umask."""

    def _open(self) -> TextIOWrapper:
        fd = open_private(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return TextIOWrapper(open(fd, "ab"), encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Say nothing: it would be said for each line, in the middle of whatever is on stderr."""

    def close(self) -> None:
        """Close the file; what could not be written before cannot be now."""
        with contextlib.suppress(OSError):
            super().close()


class ControllerLog(MemoryHandler):
    """Keeps records until the fleet is ready, and writes them to its log from then on."""

    def __init__(self, name: str) -> None:
        super().__init__(capacity=10_000, flushLevel=_NEVER, flushOnClose=False)
        self._directory = fleet_paths.make_log_dir(
            name
        )  # a daemon has nowhere else to say anything

    def begin(self) -> None:
        """Write what was kept, and everything else at once."""
        path = self._directory / "controller.log"
        log = PrivateLog(path, maxBytes=LOG_FILE_BYTES, backupCount=1, delay=True)
        log.setFormatter(self.formatter)
        self.setTarget(log)
        self.flushLevel = logging.NOTSET
        self.flush()

    def close(self) -> None:
        """Close the file; what was never written is forgotten."""
        target = self.target
        super().close()
        if target is not None:
            target.close()
        with contextlib.suppress(OSError):
            self._directory.rmdir()  # if the start has come to nothing, and there is nothing in it


@contextlib.contextmanager
def logging_to_file(
    log: logging.Logger, name: str, level: Any, *, to_stderr: bool
) -> Iterator[ControllerLog]:
    """Send what is logged to the fleet's file, and if wanted what matters to stderr.

    Raises:
        OSError: there can be no log; the message names the directory.
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
