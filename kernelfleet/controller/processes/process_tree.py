"""What engines have started, found again wherever it has gone, and ended with them.

Most of it is in the engine's process group and ends with that. What is in a session of its own,
and a daemon whose parents have ended, is found by the mark that it carries
(``wire/process_tags.py``).
The mark is random and inherited: whoever carries it comes from that engine. A fleet ends
everything it has started, also what was made a daemon on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Collection, Iterator

import psutil

from kernelfleet.controller.processes.local import all_processes
from kernelfleet.wire import process_tags as words
from kernelfleet.wire.platforms import HERE

#: What is killed may just have forked; look again so often, with so many seconds between.
ROUNDS = 20
PAUSE_SECONDS = 0.02

_INTERPRETER = os.path.realpath(sys.executable)


async def end_all(marks: Collection[str]) -> None:
    """Kill every process that carries one of the marks, until there is none."""
    for _ in range(ROUNDS if marks else 0):
        found = carriers(marks)
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil compares the start time: never a stranger's
        await asyncio.sleep(PAUSE_SECONDS)


def carriers(marks: Collection[str]) -> list[psutil.Process]:
    """The living processes that carry one of the marks; never this one."""
    found = []
    for process in all_processes():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):  # somebody else's, or just gone
            if words.is_in_environment(process.environ(), marks) or _holds_file(process.pid, marks):
                found.append(process)
    return found


def _holds_file(pid: int, marks: Collection[str]) -> bool:
    """Whether it was forked from an engine without starting another program."""
    if not HERE.shared_memory or os.readlink(f"/proc/{pid}/exe") != _INTERPRETER:
        return False  # the second is a quick look that spares the long one
    return any(words.is_in_link(link, marks) for link in _links(f"/proc/{pid}/fd"))


def _links(folder: str) -> Iterator[str]:
    for fd in os.listdir(folder):
        with contextlib.suppress(OSError):
            yield os.readlink(f"{folder}/{fd}")
