"""Starting an engine that died again, as often as its restart policy allows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from logging import Logger

from kernelfleet.controller.lifecycle.restart_policy import RestartPolicy
from kernelfleet.errors.tree import StartError


@dataclass(frozen=True)
class DeadEngine:
    """An engine that has died unasked, and what can be done about it.

    Attributes:
        name: Its id, or the ids of all that are started together, for the log.
        is_dead: Whether it still is: somebody else may have started or removed it.
        restart: Starts it afresh; raises StartError if it does not come up.
        tell: Tells clients what becomes of it.
    """

    name: str
    is_dead: Callable[[], bool]
    restart: Callable[[], Awaitable[None]]
    tell: Callable[[str], None]


async def restart_by_policy(policy: RestartPolicy, engine: DeadEngine, log: Logger) -> None:
    """Start a dead engine again, unless it dies too often or is started by somebody else."""
    while (pause := policy.pause(asyncio.get_running_loop().time())) is not None:
        engine.tell("it is being started again")
        await asyncio.sleep(pause)
        if not engine.is_dead():
            return
        try:
            await engine.restart()
        except StartError as error:
            log.error("%s", error)
            continue
        log.warning("engine %s was started again", engine.name)
        return
    log.error("engine %s was restarted too often and is left dead", engine.name)
    engine.tell("it was restarted too often and is left dead")
