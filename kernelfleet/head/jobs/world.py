"""An MPI world over many nodes: the head starts the launcher, and the ranks report to their nodes.

::

    head --launcher (mpiexec, srun)--> rank.py on each host --Unix socket--> node of that host
      ^                                                                        |
      +------------------------- which rank, how it ended --------------------+

The launcher decides which rank is where; so engines are placed when all ranks have reported. Every
host of the world has its node, whose registry starts the kernels as ranks, signals and watches them
as on one machine. Who has ended a world is found out here, where the news of all hosts come in.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from kernelfleet.controller.logs import make_log_dir
from kernelfleet.controller.options import FleetOptions
from kernelfleet.controller.processes.nanny import Nanny
from kernelfleet.errors.tree import StartError
from kernelfleet.head.node import Node
from kernelfleet.provisioners.mpi import command
from kernelfleet.provisioners.mpi.launcher import LauncherRun
from kernelfleet.provisioners.mpi.ranks import START_SECONDS, WORD_SECONDS, problem_of_rank
from kernelfleet.provisioners.mpi.verdict import Ending, Verdict, judge
from kernelfleet.wire.files import fleet_paths
from kernelfleet.wire.messages import JsonDict

#: How often to look whether the launcher still runs, while ranks are awaited.
LOOK_SECONDS = 0.1


class WorldOnNodes:
    """One world at a time: it is begun, and ends as it is told to or unasked.

    Args:
        options: Those of the fleet.
        died: Called when a world has ended unasked, with what tells the nodes why.
    """

    def __init__(self, options: FleetOptions, died: Callable[[asyncio.Task[None]], None]) -> None:
        self._options, self._died = options, died
        self._nanny = Nanny()
        self._run: LauncherRun | None = None
        self._nodes: list[Node] = []
        self._size = 0
        self._places: dict[int, Node] = {}
        self._endings: dict[int, Ending] = {}
        self._words = ""
        self._problem = ""
        self._launcher_lost = False
        self._lost_node = ""
        #: Set when the world ends, asked or not.
        self._is_ending = True
        self._burial: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    # -- starting -------------------------------------------------------------------------------

    async def begin(self, places: Sequence[Node]) -> list[Node]:
        """Start a world, and wait until each rank has reported.

        Args:
            places: Where ranks are meant to be: a node for each.

        Returns:
            Where they are, by rank.

        Raises:
            StartError: they are not all there.
        """
        self._size, meant = len(places), Counter(places)
        self._places, self._endings, self._words, self._problem = {}, {}, "", ""
        self._launcher_lost, self._lost_node, self._is_ending = False, "", False
        self._nodes = []
        # Where it is on each machine, and nobody can have made it before.
        path = Path(f"/tmp/kernelfleet-mpi-{secrets.token_hex(8)}.sock")  # noqa: S108
        variables = self._options.environment(0)
        engine = {name: text for name, text in variables.items() if text is not None}
        environment = command.environment(self._size, engine)
        try:
            await asyncio.gather(*(self._open(node, path, list(environment)) for node in meant))
            self._start(meant, path, environment)
            await self._wait_for_ranks()
        except BaseException:
            await self.end("its MPI world did not come up")
            raise
        return [self._places[rank] for rank in range(self._size)]

    async def _open(self, node: Node, path: Path, names: list[str]) -> None:
        node.on_world = self._hear
        self._nodes.append(node)
        try:
            reply, _ = await node.ask("open_world", socket=str(path), size=self._size, names=names)
        except ConnectionError as error:
            raise StartError(str(error)) from None
        if "refused" in reply:
            raise StartError(f"node {node.name}: {reply['refused']['evalue']}")

    def _start(self, meant: Counter[Node], path: Path, environment: dict[str, str]) -> None:
        hosts: Counter[str] = Counter()
        for node, count in meant.items():
            hosts[node.host] += count
        pythons = {node.python: node.name for node in meant}
        if len(pythons) > 1:
            (one, here), (other, there), *_ = pythons.items()
            raise StartError(
                f"MPI starts the same interpreter on all hosts, and {here} has {one}, but {there} "
                f"has {other}"
            )
        logs = fleet_paths.log_dir(self._options.name)
        try:
            make_log_dir(logs)
            self._run = LauncherRun(
                command.command_on_hosts(
                    self._size, self._options.mpiexec, hosts, next(iter(pythons)), path
                ),
                environment,
                None,
                logs / "engine-mpiexec.log",
            )
        except (command.NoLauncherError, OSError) as error:
            raise StartError(str(error)) from error
        self._nanny.watch(self._run.process.pid, politely=True)

    async def _wait_for_ranks(self) -> None:
        assert self._run is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_SECONDS
        while len(self._places) < self._size:
            self._news.clear()
            problem = self._problem and self._problem + self._run.quoted
            if failure := problem or self._lost_node or self._run.has_failed:
                raise StartError(failure)
            if loop.time() > deadline:
                there = f"{len(self._places)} of {self._size} ranks within {START_SECONDS:g} s"
                raise StartError(f"the MPI launcher has started {there}{self._run.quoted}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK_SECONDS)

    # -- what ranks say -------------------------------------------------------------------------

    def _hear(self, node: Node, said: JsonDict) -> None:
        rank = said["of"]
        if "error" in said:
            self._problem = self._problem or str(said["error"])
        elif "rank" in said:
            is_new = rank not in self._places
            problem = problem_of_rank(rank, said["size"], self._size, is_new=is_new)
            self._problem = self._problem or problem
            self._places[rank] = node
        elif "launcher" in said:
            self._launcher_lost = True
        elif "ended" in said:
            self._words += said["words"]
            self._endings.setdefault(rank, Ending(said["ended"], said["told"]))
            self._end_unasked()
        elif "gone" in said and rank in self._places and rank not in self._endings:
            self._end_unasked()
        self._news.set()

    def node_lost(self, node: Node) -> None:
        """A node is gone, and with it the world, if it had ranks of it."""
        if node in self._nodes:
            self._nodes.remove(node)
            ranks = sorted(rank for rank, place in self._places.items() if place is node)
            if not self._is_ending:
                self._lost_node = f"the node {node.name} is lost ({node.reason})"
                if ranks:
                    self._lost_node += f" with rank {', '.join(map(str, ranks))}"
                    self._end_unasked()
            self._news.set()

    # -- ending ---------------------------------------------------------------------------------

    def _end_unasked(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            self._burial = asyncio.get_running_loop().create_task(self._bury())
            self._died(self._burial)

    async def _bury(self) -> None:
        """A world has died: find out why, and have the nodes kill what is left of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WORD_SECONDS):
                while not self._lost_node and all(each.told for each in self._endings.values()):
                    self._news.clear()
                    await self._news.wait()
        verdict = await self._judge()
        told = {"rank": verdict.rank, "code": verdict.code, "text": verdict.text}
        await self._ask_all("judge_world", **told)

    async def _judge(self) -> Verdict:
        if self._lost_node:
            return Verdict(None, self._lost_node)
        run = self._run
        if run is not None and all(each.told for each in self._endings.values()):
            await run.ended(WORD_SECONDS)
        words, code = ("", None) if run is None else (run.words(), run.code)
        return judge(self._endings, words + self._words, code, launcher_lost=self._launcher_lost)

    async def give_up(self, reason: str) -> None:
        """A rank did not come up: kill the others, which may wait for it."""
        self._is_ending = True
        await self._ask_all("judge_world", rank=None, code=None, text=reason)

    def expect_end(self) -> None:
        """The world is about to be ended, so nobody asks any more why it has."""
        self._is_ending = True
        if self._burial is not None:
            self._burial.cancel()

    async def end(self, reason: str) -> None:
        """End all ranks and the launcher, and wait for that.

        Args:
            reason: What happened to the engines, for those who wait for them.
        """
        self.expect_end()
        await self._ask_all("end_world", reason=reason)
        await self.end_launcher()

    async def end_launcher(self) -> None:
        """The ranks have ended: wait until the launcher has as well, or end it."""
        run, self._run = self._run, None
        if run is not None:
            try:
                await run.close()
            finally:
                self._nanny.forget(run.process.pid)

    async def _ask_all(self, operation: str, **fields: object) -> None:
        async def ask(node: Node) -> None:
            with contextlib.suppress(ConnectionError):
                await node.ask(operation, **fields)

        await asyncio.gather(*map(ask, self._nodes))
