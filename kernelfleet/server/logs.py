"""The end of a log file, read without reading all of it."""

from __future__ import annotations

import os
from pathlib import Path

#: How much is read from the end for each line that is asked for, and at most.
LINE_BYTES, MAX_BYTES = 400, 4 * 1024 * 1024
MAX_LINES = 10_000


def tail(path: Path, lines: int) -> tuple[list[str], bool]:
    """The last lines of a log.

    Args:
        path: The file; one that is not there is empty.
        lines: How many lines.

    Returns:
        The lines without their ends, and whether there are more before them.

    Raises:
        OSError: it is a link or another user's, or cannot be read.
    """
    from kernelfleet.wire.files.private_files import open_private

    try:
        fd = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return [], False
    with os.fdopen(fd, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        wanted = min(MAX_BYTES, max(lines, 1) * LINE_BYTES)
        while True:
            start = max(0, size - wanted)
            file.seek(start)
            text = file.read(wanted)
            if start == 0 or text.count(b"\n") > lines or wanted >= MAX_BYTES:
                break
            wanted = min(MAX_BYTES, wanted * 4)
    found = text.decode(errors="replace").splitlines()
    if start:
        del found[:1]  # (it may be the end of a line)
    return found[-lines:] if lines else [], bool(start) or len(found) > lines
