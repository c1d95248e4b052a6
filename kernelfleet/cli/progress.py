"""Shows on stderr how far a start is that takes long."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

#: If stderr is a file, a line is written at most so often.
LINE_SECONDS = 5.0


class StartProgress:
    """Shows how many engines answer already. Of a quick start nothing is shown.

    A terminal has one line, which is redrawn. A file has a line now and then.

    Args:
        stream: Where it is shown; None means stderr.
        to_files: Whether lines are written if the stream is no terminal.
    """

    def __init__(self, stream: TextIO | None = None, *, to_files: bool = True) -> None:
        self._to_files = to_files
        self._stream = stream or sys.stderr
        self._redraws = self._stream.isatty()
        self._drawn = False
        self._next_line = 0.0

    def show(self, ready: int, n: int) -> None:
        """Show that ``ready`` of ``n`` engines answer."""
        text = f"starting: {ready} of {n} engine{'' if n == 1 else 's'} answer"
        if self._redraws:
            self._stream.write(f"\r{text}\x1b[K")
            self._drawn = True
        elif self._to_files and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Erase the line; other output says how the start has ended."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False


class Teller(Protocol):
    """Reports how far a start is."""

    def progress(self, ready: int, n: int) -> None:
        """Report that ``ready`` of ``n`` engines answer."""

    def ready(self, text: str) -> None:
        """Report that the fleet is ready; the text says how it is used."""


class Terminal:
    """Reports to the terminal of this process."""

    def __init__(self) -> None:
        self._progress = StartProgress()
        self.progress = self._progress.show
        self.close = self._progress.close

    def ready(self, text: str) -> None:
        """Print the text."""
        self.close()
        print(text, flush=True)
