"""A copy of what an engine prints, in the engine's log: for ``kernelfleet logs --engine``.

Nothing depends on the copy. It is left out when the disk is full, and when the log has reached
``MAX_BYTES``, until the controller has shortened it (``controller/logs.py``).
"""

from __future__ import annotations

import os
from contextlib import suppress

#: A log of this size gets nothing more. The controller shortens logs every ten seconds.
MAX_BYTES = 8 * 1024 * 1024


class OutputLog:
    """Writes text to the descriptor of a log that was opened for appending."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, text: str) -> None:
        """Append the text to the log, as far as there is room for it."""
        with suppress(OSError):
            room = MAX_BYTES - os.fstat(self._fd).st_size
            if room > 0:
                os.write(self._fd, text.encode("utf-8", "backslashreplace")[:room])
