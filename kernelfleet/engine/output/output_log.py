"""A copy of what an engine prints, in the engine's log: for ``kernelfleet logs --engine``.

Nothing depends on it: a disk that is full costs the copy, and one that is flooded gets no more
than the log may hold until the controller has cut it down (``controller/logs.py``).
"""

from __future__ import annotations

import os
from contextlib import suppress

#: Beyond this the log gets nothing more; the controller looks after it every ten seconds.
MAX_BYTES = 8 * 1024 * 1024


class OutputLog:
    """Writes text to the descriptor of a log, which was opened for appending."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, text: str) -> None:
        """Add a copy of the text, if there is room for it."""
        with suppress(OSError):
            room = MAX_BYTES - os.fstat(self._fd).st_size
            if room > 0:
                os.write(self._fd, text.encode("utf-8", "backslashreplace")[:room])
