"""Where a fleet's logs are, and how they are read, also after the fleet has ended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from kernelfleet.errors.tree import FleetNotFound, SeveralFleets
from kernelfleet.wire.files import connection_file, fleet_paths
from kernelfleet.wire.files.private_files import open_any

POLL_SECONDS = 0.2


def log_file(name: str | None, engine: int | None) -> Path:
    """The path of a log.

    Args:
        name: The name of the fleet; None takes the running one, else the default name.
        engine: The id of the engine; None means the controller.

    Raises:
        FleetNotFound: No fleet of this name has a log.
    """
    if name is None:
        try:
            name = connection_file.find_default().name
        except SeveralFleets:
            raise
        except FleetNotFound:
            # A fleet of the default name that has ended may have left a log.
            name = fleet_paths.DEFAULT_NAME
    directory = fleet_paths.log_dir(name)
    path = directory / ("controller.log" if engine is None else f"engine-{engine}.log")
    if path.exists():
        return path
    there = ", ".join(sorted(file.name for file in directory.glob("*.log")))
    found = f"there is {there}" if there else f"nothing in {directory}"
    raise FleetNotFound(
        f"fleet {name!r} has no {path.name} ({found}); `kernelfleet list` shows what runs"
    )


def last_lines(path: Path, count: int) -> str:
    """The last lines of a log, which is read from its end: it may be long."""
    with os.fdopen(open_any(path), "rb") as file:
        end = size = file.seek(0, os.SEEK_END)
        tail = b""
        while end and tail.count(b"\n") <= count:
            end = max(0, end - 64 * 1024)
            file.seek(end)
            tail = file.read(size - end)
    lines = tail.decode(errors="replace").splitlines(keepends=True)
    return "".join(lines[-count:]) if count else ""


def follow(path: Path, poll: float = POLL_SECONDS, start: int = 0) -> Iterator[bytes]:
    """Yield the content of a file from a position, and what is appended, also after rotation."""
    while True:
        with os.fdopen(open_any(path), "rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            file.seek(start)
            start = 0
            while True:
                if text := file.read():
                    yield text
                elif _replaced(path, inode, file.tell()):
                    yield file.read()  # (what was appended between the two checks)
                    break
                else:
                    time.sleep(poll)


def _replaced(path: Path, inode: int, position: int) -> bool:
    """Whether the path now names another file, or the file was truncated."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return False  # (during a rotation; the new file will be there soon)
    return now.st_ino != inode or now.st_size < position
