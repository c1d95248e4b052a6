"""A gate that commands run into: the test knows when they are there, and lets them go on."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path

_numbers = itertools.count()


class Gate:
    """Run ``gate.code`` on engines; an interrupt gets them out as well."""

    def __init__(self, folder: Path) -> None:
        path = folder / f"gate-{next(_numbers)}"
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._server.settimeout(20)
        self._path = path
        self._inside: list[socket.socket] = []
        body = (
            "import contextlib, socket\n"
            "with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as gate:\n"
            f"    gate.connect({str(path)!r})\n"
            "    gate.recv(1)\n"
        )
        #: One expression, which leaves no name behind.
        self.code = f"exec({body!r}, {{}})"

    def entered(self, n: int = 1) -> None:
        """Wait until ``n`` more commands stand in the gate."""
        for _ in range(n):
            self._inside.append(self._server.accept()[0])

    def open(self) -> None:
        """Let all go, and whoever comes later as well."""
        self._server.close()
        self._path.unlink(missing_ok=True)
        for each in self._inside:
            each.close()
        self._inside.clear()
