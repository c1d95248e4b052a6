"""Keys that are pressed in a terminal, while something is shown."""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import Any, Self, TextIO

#: What terminals send for keys that are no characters.
SEQUENCES = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down",
    b"\x1b[H": "home", b"\x1b[1~": "home", b"\x1b[F": "end", b"\x1b[4~": "end",
}  # fmt: skip


class Keys:
    """Reads single keys as long as the ``with`` block lasts; Ctrl-C works as always.

    Args:
        stream: Where keys come from. If it is no terminal, or the system has none, no key comes.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._fd: int | None = None
        self._before: list[Any] = []
        with contextlib.suppress(OSError, ValueError):
            if stream is not None and stream.isatty():
                self._fd = stream.fileno()

    def __enter__(self) -> Self:
        try:
            import termios
            import tty
        except ImportError:  # Windows
            self._fd = None
        if self._fd is not None:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            import termios

            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float) -> str | None:
        """The key that is pressed within so many seconds; None if none is."""
        if self._fd is None:
            time.sleep(seconds)
            return None
        if not select.select([self._fd], [], [], seconds)[0]:
            return None
        typed = os.read(self._fd, 32)
        if not typed:  # the terminal has gone
            return "q"
        return SEQUENCES.get(typed, typed[:1].decode(errors="replace"))
