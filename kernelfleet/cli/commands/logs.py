"""``kernelfleet logs``: the log of a controller or an engine, also after its fleet has ended."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from traitlets import Bool, Integer

from kernelfleet import errors
from kernelfleet.cli import completion
from kernelfleet.cli.exits import EXIT_OK
from kernelfleet.cli.naming import NamedCommand
from kernelfleet.wire.files import connection_file, fleet_paths
from kernelfleet.wire.files.private_files import open_any

POLL_SECONDS = 0.2


class Logs(NamedCommand):
    """``kernelfleet logs``."""

    name = "kernelfleet-logs"
    usage = "kernelfleet logs [NAME] [--engine I] [-f]"
    description = """
        Show a fleet's log: what the controller noted (starts, deaths, restarts, stops), or with
        --engine what an engine printed, and where it was when it crashed. A fleet that has ended
        keeps its logs until the next start under its name, for 30 days at most.
    """

    engine = Integer(None, allow_none=True, min=0, help="Show this engine's log.").tag(config=True)
    follow = Bool(False, help="Go on as the log grows, until Ctrl-C.").tag(config=True)

    completes_arguments = completion.logged_fleets
    aliases = {"name": "Logs.fleet_name", "engine": "Logs.engine", **NamedCommand.aliases}
    flags = {
        ("f", "follow"): ({"Logs": {"follow": True}}, "Go on as the log grows, until Ctrl-C."),
        **NamedCommand.flags,
    }

    def work(self) -> int:
        """Copy the log to stdout."""
        path = log_file(self.given_name(), self.engine)
        for text in follow(path) if self.follow else [path.read_bytes()]:
            sys.stdout.write(text.decode(errors="replace"))
            sys.stdout.flush()
        return EXIT_OK


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
        except errors.SeveralFleets:
            raise
        except errors.FleetNotFound:
            # A fleet of the default name that has ended may have left a log.
            name = fleet_paths.DEFAULT_NAME
    directory = fleet_paths.log_dir(name)
    path = directory / ("controller.log" if engine is None else f"engine-{engine}.log")
    if path.exists():
        return path
    there = ", ".join(sorted(file.name for file in directory.glob("*.log")))
    found = f"there is {there}" if there else f"nothing in {directory}"
    raise errors.FleetNotFound(
        f"fleet {name!r} has no {path.name} ({found}); `kernelfleet list` shows what runs"
    )


def follow(path: Path, poll: float = POLL_SECONDS) -> Iterator[bytes]:
    """Yield the content of a file, and then what is appended, also after it was rotated."""
    while True:
        with os.fdopen(open_any(path), "rb") as file:
            inode = os.fstat(file.fileno()).st_ino
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
