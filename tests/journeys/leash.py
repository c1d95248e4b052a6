"""A leash that processes of an engine hold: when it falls to the ground, they are gone."""

from __future__ import annotations

import itertools
import socket
import sys
from pathlib import Path

_numbers = itertools.count()

_HOLD = """
import socket, time
leash = socket.socket(socket.AF_UNIX)
leash.connect({path!r})
time.sleep(1000)
"""


class Leash:
    """Code that takes hold of it, for a process to run; whoever does sleeps from then on."""

    def __init__(self, folder: Path) -> None:
        path = folder / f"leash-{next(_numbers)}"
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._server.settimeout(20)
        self._path = path
        self._held: list[socket.socket] = []
        self.code = _HOLD.format(path=str(path))
        #: A command that does so in a process of its own.
        self.command = [sys.executable, "-I", "-S", "-c", self.code]

    def taken(self, n: int = 1) -> None:
        """Wait until ``n`` more processes hold it."""
        for _ in range(n):
            self._held.append(self._server.accept()[0])

    def is_dropped(self, seconds: float) -> bool:
        """Whether all that held it have ended within so many seconds each."""
        for each in self._held:
            each.settimeout(seconds)
            try:
                if each.recv(1):
                    return False
            except TimeoutError:
                return False
        return True

    def close(self) -> None:
        """Let go of the other end."""
        self._server.close()
        self._path.unlink()
        for each in self._held:
            each.close()
