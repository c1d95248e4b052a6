"""What follows the death of an engine: finding out why, and perhaps starting it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from logging import Logger
from pathlib import Path
from typing import NamedTuple, Protocol

from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.engines.state import EngineState
from kernelfleet.controller.lifecycle.incarnation import Incarnation
from kernelfleet.controller.lifecycle.launcher import Launcher
from kernelfleet.controller.lifecycle.restarting import DeadEngine, restart_by_policy
from kernelfleet.controller.lifecycle.worlds import cause_of_death, world_of
from kernelfleet.controller.logs import engine_log, tells_a_crash
from kernelfleet.errors.text import describe_death, format_ids


class Death(NamedTuple):
    """How a process has ended; one of exit code and signal, or neither if it is not known."""

    cause: str
    exit_code: int | None
    signal: int | None


async def find_out(launcher: Launcher, incarnation: Incarnation, logs: Path) -> Death:
    """Reap a process that has ended, and find out why it did."""
    engine_id = incarnation.engine_id
    world = world_of(incarnation.provisioner)
    if world is not None:
        world.end_all()
    exit_code = await launcher.reap(incarnation)
    signum = -exit_code if exit_code is not None and exit_code < 0 else None
    exit_code = exit_code if signum is None else None
    cause = describe_death(exit_code, signum)
    if tells_a_crash(engine_log(logs, engine_id)):
        # Only the directory: engines that crash in the same way share one line of an error.
        cause += f"; the traceback of the crash is in its log in {logs}"
    if world is None:
        return Death(cause, exit_code, signum)
    return Death(*await cause_of_death(world, logs, engine_id, cause, exit_code, signum))


class Registry(Protocol):
    """The part of the engine registry that starts engines again."""

    engines: dict[int, Engine]

    async def restart(self, engines: Sequence[Engine]) -> None:
        """Start engines afresh under their ids."""


async def start_again(
    together: Sequence[Engine], registry: Registry, changed: Callable[[], None], log: Logger
) -> None:
    """Start dead engines again, unless they die too often or are started by somebody else.

    Args:
        together: One engine, or all ranks of an MPI world.
        registry: Where they are.
        changed: Called when what is known of their death has changed.
        log: The fleet's log.
    """
    first, causes = together[0], {each.id: each.death for each in together}

    def tell(what: str) -> None:
        for each in together:
            each.death = f"{causes[each.id]}; {what}"
        changed()

    dead = DeadEngine(
        format_ids(causes),
        is_dead=lambda: first.state is EngineState.DEAD and registry.engines.get(first.id) is first,
        restart=lambda: registry.restart(together),
        tell=tell,
    )
    await restart_by_policy(first.restart_policy, dead, log)
