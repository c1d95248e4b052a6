"""Find and kill every process that an engine has started, also outside its process group.

Most descendants are in the engine's process group and end with it. One in a session of its own, or
a daemon whose parents have ended, is found by the process tag that it has inherited
(``wire/process_tags.py``). The tag is random, so whatever carries it comes from that engine.

This serves the user whose code starts servers or tools in the background: stopping a fleet frees
their ports, memory and GPUs, also after a crash. What is meant to outlive the fleet must not be
started by an engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Collection, Iterator

import psutil

from kernelfleet.controller.processes.local import all_processes
from kernelfleet.wire import process_tags
from kernelfleet.wire.platforms import HERE

#: A process may fork just before it is killed, so the search is repeated: at most this often, with
#: this many seconds in between.
ROUNDS = 20
PAUSE_SECONDS = 0.02

_INTERPRETER = os.path.realpath(sys.executable)


async def end_all(tags: Collection[str]) -> None:
    """Kill every process that carries one of the tags, until none is left."""
    for _ in range(ROUNDS if tags else 0):
        found = carriers(tags)
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil compares start times: a reused pid is safe
        await asyncio.sleep(PAUSE_SECONDS)


def carriers(tags: Collection[str]) -> list[psutil.Process]:
    """The living processes that carry one of the tags; never this one."""
    found = []
    for process in all_processes():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):  # another user's, or just ended
            if process_tags.is_in_environment(process.environ(), tags) or _holds_file(
                process.pid, tags
            ):
                found.append(process)
    return found


def _holds_file(pid: int, tags: Collection[str]) -> bool:
    """Whether it was forked from an engine without starting another program."""
    if not HERE.shared_memory or os.readlink(f"/proc/{pid}/exe") != _INTERPRETER:
        return False  # comparing the executable is much cheaper than listing descriptors
    return any(process_tags.is_in_link(link, tags) for link in _links(f"/proc/{pid}/fd"))


def _links(folder: str) -> Iterator[str]:
    for fd in os.listdir(folder):
        with contextlib.suppress(OSError):
            yield os.readlink(f"{folder}/{fd}")
