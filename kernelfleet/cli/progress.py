"""How far a long start is, on stderr: a line that redraws itself, or now and then a line."""

from __future__ import annotations

import sys
import time
from typing import TextIO

#: How often a file, where lines stay, gets one.
LINE_SECONDS = 5.0


class StartProgress:
    """Shows how many engines answer already; a start that is quick is not talked about.

    Args:
        stream: Where; stderr if None.
        to_files: Whether a stream that is no terminal gets lines, which stay there.
    """

    def __init__(self, stream: TextIO | None = None, *, to_files: bool = True) -> None:
        self._to_files = to_files
        self._stream = stream or sys.stderr
        self._redraws = self._stream.isatty()
        self._drawn = False
        self._next_line = 0.0

    def show(self, ready: int, n: int) -> None:
        """Tell that ``ready`` of ``n`` engines answer."""
        text = f"starting: {ready} of {n} engine{'' if n == 1 else 's'} answer"
        if self._redraws:
            self._stream.write(f"\r{text}\x1b[K")
            self._drawn = True
        elif self._to_files and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Take the line away: what comes next says how it ended."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False
