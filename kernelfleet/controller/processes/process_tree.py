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
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import psutil

from kernelfleet.controller.processes import table
from kernelfleet.wire import process_tags
from kernelfleet.wire.platforms import HERE


class Engines(NamedTuple):
    """What is known of the engines when a search for what others have started begins.

    Attributes:
        since: When the first of those that are searched for began, as ``table.Row`` has it: what
            began before was not started by them.
        living: When the engines began that are no part of the search, by their process ids.
    """

    since: int = 0
    living: Mapping[int, int] = MappingProxyType({})

    def may_have_started(self, row: table.Row) -> bool:
        """Whether a process could be that of an engine that is searched for."""
        return row.started >= self.since and not (
            row.started and self.living.get(row.pid) == row.started
        )


async def end_all(tags: Collection[str], engines: Engines = Engines()) -> None:  # noqa: B008
    """Kill every process that carries one of the tags, until none is left."""
    for _ in range(process_tags.ROUNDS if tags else 0):
        found = carriers(tags, engines)
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil compares start times: a reused pid is safe
        await asyncio.sleep(process_tags.PAUSE_SECONDS)


def carriers(tags: Collection[str], engines: Engines = Engines()) -> list[psutil.Process]:  # noqa: B008
    """The living processes that carry one of the tags; never this one.

    A search takes time for each process that it cannot rule out at once, above all for engines: of
    those, all descriptors have to be looked at. So it is told which ones to leave out.
    """
    found = []
    texts = [tag.encode() for tag in tags]
    for row in table.rows():
        if row.pid == os.getpid() or not engines.may_have_started(row):
            continue
        with contextlib.suppress(psutil.Error, OSError):  # another user's, or just ended
            process = psutil.Process(row.pid)
            if _shows_tag(process, tags, texts) or (
                HERE.shared_memory and process_tags.holds_file(row.pid, tags)
            ):
                found.append(process)
    return found


def _shows_tag(process: psutil.Process, tags: Collection[str], texts: Sequence[bytes]) -> bool:
    if HERE.shared_memory:  # Linux: most environments are not worth taking apart
        environment = table.environment(process.pid)
        if not any(text in environment for text in texts):
            return False
    return process_tags.is_in_environment(process.environ(), tags)
