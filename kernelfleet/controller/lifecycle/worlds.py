"""MPI: the engines of such a fleet are the ranks of one world, which lives and ends as a whole.

One launcher has started all ranks, MPI numbers them once, and when one is gone the others can no
longer finish what they do together. So no rank is started, restarted or ended alone: the death of
one is the death of all, and a restart of all is a new world.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.factory import KernelProvisionerFactory

from kernelfleet.controller.logs import engine_log, last_words
from kernelfleet.controller.processes.nanny import Nanny
from kernelfleet.errors.text import describe_death
from kernelfleet.provisioners.mpi.part import PartOfWorld
from kernelfleet.provisioners.mpi.ranks import Ranks
from kernelfleet.provisioners.mpi.verdict import Verdict
from kernelfleet.provisioners.mpi.world import World

#: Why something is refused, by operation.
REFUSED = {
    "restart": "the engines are the ranks of one MPI world, which no rank can join alone: "
    "mec.restart('all') brings a new world",
    "kill": "the engines are the ranks of one MPI world, which ends as a whole: mec.restart('all') "
    "brings a new world, stopping the fleet ends it",
    "scale": "the engines are the ranks of one MPI world, whose size MPI has fixed at its start: "
    "start another fleet",
    "scale of ranks": "the engines have been told that they are {size} ranks (WORLD_SIZE): start "
    "another fleet",
}

#: Not an entry point of the package: without the world of a fleet it is of no use to a kernelspec.
_PROVISIONER = EntryPoint(
    "kernelfleet-mpi",
    "kernelfleet.provisioners.mpi.provisioner:MpiProvisioner",
    KernelProvisionerFactory.GROUP_NAME,
)

_AGAIN = "mec.restart('all') brings a new world"


class Worlds:
    """The worlds of one fleet, one after the other.

    Args:
        mpiexec: The launcher's command; None looks for mpiexec.
        directory: A private directory.
        logs: Where the launcher's log is.
        nanny: Ends a launcher whose controller was killed.
        of_a_head: Whether the head of a cluster starts the launcher, and this is a node.
    """

    def __init__(
        self,
        mpiexec: str | None,
        directory: Path,
        logs: Path,
        nanny: Nanny,
        *,
        of_a_head: bool = False,
    ) -> None:
        self._mpiexec, self._directory, self._logs = mpiexec, directory, logs
        self._nanny, self._of_a_head = nanny, of_a_head
        KernelProvisionerFactory.instance().provisioners[_PROVISIONER.name] = _PROVISIONER
        self._world: Ranks | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def begin(self, n: int) -> None:
        """The engines that are started next are the ranks of a new world."""
        if self._of_a_head:
            return  # which has had it opened before
        self._close()
        self._world = World(n, self._mpiexec, self._directory, self._logs / "engine-mpiexec.log")

    async def open_part(
        self,
        n: int,
        path: Path,
        names: Iterable[str],
        tell: Callable[[dict[str, Any]], None],
    ) -> bool:
        """On a node: the engines that are started next are ranks of a new world of the head's.

        Args:
            n: How many ranks the world has.
            path: Where those of this machine report.
            names: The variables of the launcher's environment.
            tell: Gets what they say, for the head.

        Returns:
            False if another node of this machine has them.
        """
        await self.end()
        try:
            self._world = PartOfWorld(n, path, names, tell)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True

    def judge(self, rank: int | None, text: str, code: int | None) -> None:
        """On a node: the head knows who has ended the world, and how (see ``Verdict``)."""
        if isinstance(self._world, PartOfWorld):
            self._world.judge(Verdict(rank, text, code))

    def provisioner(self, engine_id: int) -> dict[str, Any]:
        """How an engine becomes a rank, as in a kernel.json."""

        def watch(pid: int) -> None:
            self._nanny.watch(pid, politely=True)

        config = {"world": self._world, "rank": engine_id, "watch": watch}
        return {"provisioner_name": _PROVISIONER.name, "config": config}

    async def end(self) -> None:
        """All engines have ended: end what has launched them, and wait for it."""
        self._close()
        if self._closing:
            await asyncio.wait(self._closing)

    def _close(self) -> None:
        world, self._world = self._world, None
        if world is not None:
            task = asyncio.get_running_loop().create_task(self._end(world))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _end(self, world: Ranks) -> None:
        process = world.process if isinstance(world, World) else None
        pid = process.pid if process is not None else None
        await world.close()
        if pid is not None:
            self._nanny.forget(pid)


def world_of(provisioner: Any) -> Ranks | None:
    """The world that an engine is a rank of."""
    world = getattr(provisioner, "world", None)
    return world if isinstance(world, Ranks) else None


async def cause_of_death(
    world: Ranks, logs: Path, rank: int, own: str, exit_code: int | None, signal: int | None
) -> tuple[str, int | None, int | None]:
    """Why a rank has died: its own end, or that of the rank that took it along.

    Args:
        world: Its world.
        logs: Where the logs of the engines are.
        rank: Its number.
        own: How its process has ended, in words.
        exit_code: How its process has ended.
        signal: Likewise.

    Returns:
        The text, and its exit code and signal; neither for a rank that others took along.
    """

    def words() -> str:
        return "\n".join(last_words(engine_log(logs, each)) for each in range(world.n))

    verdict = await world.verdict(words)
    if verdict.rank == rank:
        own = verdict.text or own
        return f"{own}, and with it the MPI world; {_AGAIN}", exit_code, signal
    if verdict.rank is None:
        return f"{verdict.text}, and with it the MPI world; {_AGAIN}", None, None
    code = verdict.code
    signum = -code if code is not None and code < 0 else None
    how = verdict.text or describe_death(code if signum is None else None, signum)
    return f"rank {verdict.rank} took the MPI world along ({how}); {_AGAIN}", None, None
