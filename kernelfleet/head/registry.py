"""Which engine is on which node: placement, restart, loss, and the number that all are told.

The nodes' own registries (``controller/lifecycle/registry.py``) start and watch the engines. Here
it is kept where each of them is, and what becomes of those whose node is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from logging import Logger
from typing import Any

from kernelfleet.controller.lifecycle.ids import free_ids
from kernelfleet.controller.lifecycle.restart_policy import RestartPolicy
from kernelfleet.controller.lifecycle.restarting import DeadEngine, restart_by_policy
from kernelfleet.controller.lifecycle.scaling import ATTEMPTS
from kernelfleet.controller.options import FleetOptions
from kernelfleet.controller.requests import CallError
from kernelfleet.errors.tree import StartError
from kernelfleet.head.jobs.ranks import RanksOnNodes
from kernelfleet.head.jobs.worlds import WorldsOnNodes
from kernelfleet.head.node import Node
from kernelfleet.head.placed import Placed
from kernelfleet.head.placement import grouped
from kernelfleet.head.pool import NodePool
from kernelfleet.wire.messages import JsonDict

#: What nodes were told of the number of engines, if they were told different numbers.
UNKNOWN = -1


class NodeRegistry:
    """The engines of all nodes, by id. Every method runs on the head's loop."""

    def __init__(self, pool: NodePool, log: Logger, options: FleetOptions) -> None:
        self.engines: dict[int, Placed] = {}
        #: Called when engines have come or gone.
        self.on_change: Callable[[], None] = lambda: None
        self._pool, self._log, self._options = pool, log, options
        self._loop = asyncio.get_running_loop()
        self._placing, self._scaling = asyncio.Lock(), asyncio.Lock()
        self._adding = 0
        self._told_count = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ids: list[int] | None = None
        #: Where the engines are the ranks of a job of torch or JAX.
        self.ranks = RanksOnNodes() if options.ranks_on_nodes else None
        #: Where they are the ranks of an MPI world.
        self.worlds = WorldsOnNodes(options, self, log) if options.mpi else None
        pool.watcher = self

    # -- who is there ---------------------------------------------------------------------------

    @property
    def living(self) -> list[Node]:
        """The nodes that are there."""
        return self._pool.nodes

    @property
    def ids(self) -> list[int]:
        """Ids of the registered engines, ascending."""
        if self._ids is None:
            told = ((node, engine_id) for node in self.living for engine_id in node.known["ids"])
            self._ids = sorted(
                engine_id for node, engine_id in told if self._is_on(node, engine_id)
            )
        return self._ids

    def _is_on(self, node: Node, engine_id: int) -> bool:
        placed = self.engines.get(engine_id)
        return placed is not None and placed.node is node

    @property
    def dead(self) -> dict[int, str]:
        """How each dead engine died, or was lost with its node."""
        dead = {engine_id: each.lost for engine_id, each in self.engines.items() if each.lost}
        for node in self.living:
            for engine_id, how in node.known["dead"].items():
                if self._is_on(node, int(engine_id)):
                    dead[int(engine_id)] = how
        return dead

    def find(self, engine_id: int) -> Node | None:
        """The node of a registered engine."""
        placed = self.engines.get(engine_id)
        if placed is None or placed.lost or engine_id not in placed.node.registered:
            return None
        return placed.node

    def known(self) -> JsonDict:
        """Which engines there are, as clients are told (``KnownEngines``)."""
        pythons = {
            engine_id: version
            for node in self.living
            for engine_id, version in node.known["pythons"].items()
        }
        return {
            "ids": self.ids,
            "dead": {str(engine_id): how for engine_id, how in self.dead.items()},
            "total": len(self.engines),
            "pythons": pythons,
        }

    def changed(self) -> None:
        """Tell clients which engines there are, and nodes how many."""
        self._ids = None
        self.on_change()
        self._recount()

    def _recount(self) -> None:
        count = len(self.ids)
        if count == self._told_count or self._adding:
            return
        self._told_count = count
        for node in self.living:
            node.tell("recount", count=count)

    # -- starting -------------------------------------------------------------------------------

    async def add(self, kernels: Iterable[str | None], ids: Sequence[int] | None = None) -> None:
        """Start an engine per kernel name (None is our own), each on the node with most room.

        Args:
            kernels: The names of their kernelspecs.
            ids: Their ids, of engines that were lost; else the lowest free ones.

        Raises:
            StartError: one did not start, or there is no room; those that did are ended again.
        """
        kernels = list(kernels)
        self._adding += 1
        before: dict[int, Placed] = {}
        try:
            async with self._placing:
                loads = self._loads() if self.worlds is None else {}
                nodes = await self._pool.place(len(kernels), loads)
                if self.worlds is not None:
                    nodes = await self.worlds.begin(nodes)
                ids = free_ids(self.engines, len(kernels)) if ids is None else ids
                before = {
                    engine_id: self.engines[engine_id]
                    for engine_id in ids
                    if engine_id in self.engines
                }
                for engine_id, kernel, node in zip(ids, kernels, nodes, strict=True):
                    old = before.get(engine_id)
                    policy = old.policy if old is not None else RestartPolicy()
                    self.engines[engine_id] = Placed(node, kernel, policy=policy)
            await self._start([(engine_id, self.engines[engine_id]) for engine_id in ids], before)
        finally:
            self._adding -= 1
            self.changed()

    def _loads(self) -> Counter[Node]:
        return Counter(placed.node for placed in self.engines.values() if not placed.lost)

    async def _start(self, new: list[tuple[int, Placed]], before: dict[int, Placed]) -> None:
        """Have the nodes start engines that have been placed; none is left if one fails."""
        groups = grouped([placed.node for _, placed in new])
        count = len([1 for placed in self.engines.values() if not placed.lost])
        self._told_count = UNKNOWN  # these nodes are told, others are not
        try:
            await self._arrange_ranks()
            starts = (
                self._start_on(node, [new[index] for index in indices], count)
                for node, indices in groups.items()
            )
            together = asyncio.gather if self.worlds is None else self.worlds.gather
            outcomes = await together(*starts, return_exceptions=True)
        except StartError as error:
            outcomes = [error]
        failures = [each for each in outcomes if isinstance(each, BaseException)]
        if not failures:
            return
        if self.worlds is not None:
            await self.worlds.end("its MPI world did not come up")
        else:
            await self._take_back([engine_id for engine_id, _ in new])
        for engine_id, _ in new:
            self.engines.pop(engine_id, None)
        self.engines.update(before)
        raise next((e for e in failures if isinstance(e, StartError)), failures[0])

    async def _arrange_ranks(self) -> None:
        """Tell all ranks, for their next start, who they are and where they meet."""
        if self.ranks is not None:
            places = {i: each.node for i, each in sorted(self.engines.items()) if not each.lost}
            await self.ranks.arrange(places, self._options.added_variables)

    def _variables(self, engine_id: int) -> JsonDict:
        of_rank = {} if self.ranks is None else self.ranks.variables[engine_id]
        return {**of_rank, **self._options.added_variables(engine_id)}

    async def _start_on(self, node: Node, new: list[tuple[int, Placed]], count: int) -> None:
        engines = [
            {
                "id": engine_id,
                "kernel": placed.kernel,
                "env": self._variables(engine_id),
            }
            for engine_id, placed in new
        ]
        try:
            reply, _ = await node.ask("add_engines", engines=engines, count=count, node=node.name)
        except ConnectionError as error:
            raise StartError(str(error)) from None
        if "refused" in reply:
            raise StartError(f"node {node.name}: {reply['refused']['evalue']}")
        self._ids = None

    async def _take_back(self, ids: list[int]) -> None:
        """End those of these engines that came up."""
        up = [engine_id for engine_id in ids if self.find(engine_id) is not None]
        await self._ask_each("kill", up)

    async def restart(self, ids: Iterable[int]) -> None:
        """Start engines afresh under their ids: on their nodes, or elsewhere if those are lost.

        Raises:
            StartError: one did not come up.
        """
        ids = list(dict.fromkeys(ids))
        if self.worlds is not None:
            await self.worlds.renew()
            return
        homeless = [engine_id for engine_id in ids if self.engines[engine_id].lost]
        at_home = [engine_id for engine_id in ids if engine_id not in homeless]
        if self.ranks is not None:
            if set(ids) == set(self.engines):
                self.ranks.renew()
            if homeless:  # first: where they go decides what the others are told
                await self._restart_elsewhere(homeless)
                homeless = []
            await self._arrange_ranks()
        parts = [self._restart_elsewhere(homeless)] if homeless else []
        parts += [self._restart_there(node, some) for node, some in self._by_node(at_home).items()]
        for outcome in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _restart_there(self, node: Node, ids: list[int]) -> None:
        try:
            reply, _ = await node.ask("restart", targets=ids)
        except ConnectionError as error:
            raise StartError(str(error)) from None
        if "refused" in reply:
            raise StartError(f"node {node.name}: {reply['refused']['evalue']}")

    async def _restart_elsewhere(self, ids: list[int]) -> None:
        """Start engines of lost nodes; one that is being started for somebody else is awaited."""
        placed = {engine_id: self.engines[engine_id] for engine_id in ids}
        ours = {i: each for i, each in placed.items() if each.restarting is None}
        others = [each.restarting for each in placed.values() if each.restarting is not None]
        for each in ours.values():
            each.restarting = self._loop.create_future()
        if ours:
            self.spawn(self._move(ours))
        waiting = [each.restarting for each in ours.values() if each.restarting is not None]
        for outcome in await asyncio.gather(
            *map(asyncio.shield, [*others, *waiting]), return_exceptions=True
        ):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _move(self, lost: dict[int, Placed]) -> None:
        error: BaseException | None = asyncio.CancelledError()
        try:
            await self.add([each.kernel for each in lost.values()], list(lost))
            error = None
        except Exception as failure:  # noqa: BLE001 (raised by whoever waits)
            error = failure
        finally:
            for each in lost.values():
                restarting, each.restarting = each.restarting, None
                if restarting is None or restarting.done():
                    continue
                if error is None:
                    restarting.set_result(None)
                elif isinstance(error, asyncio.CancelledError):
                    restarting.cancel()
                else:
                    restarting.set_exception(error)
                    restarting.exception()  # mark it as retrieved: perhaps nobody waits

    async def scale(self, n: int, kernel_name: str | None) -> None:
        """Have ``n`` engines: start some, or end those of the highest ids when they are drained."""
        async with self._scaling:
            for _ in range(ATTEMPTS):
                await self._settle()
                if n <= len(self.ids):
                    break
                await self.add([kernel_name] * (n - len(self.ids)))
            leaving = self.ids[n:]
            # Nodes hear of it before another one scales, who need not wait until they are drained.
            drained = asyncio.ensure_future(self._ask_each("leave", leaving))
        await drained
        self.forget(leaving)

    async def _settle(self) -> None:
        """Wait until all that start are there, and all that were killed are known to be dead."""
        while moving := [e.restarting for e in self.engines.values() if e.restarting is not None]:
            await asyncio.wait(moving)

        async def settled(node: Node) -> None:
            with contextlib.suppress(ConnectionError):  # it is lost, and so are its engines
                await node.ask("settle")

        await asyncio.gather(*map(settled, self.living))

    # -- ending ---------------------------------------------------------------------------------

    def forget(self, ids: Iterable[int]) -> None:
        """These engines have ended for good: their ids are free."""
        for engine_id in ids:
            self.engines.pop(engine_id, None)
        self.changed()

    async def _ask_each(self, operation: str, ids: list[int]) -> None:
        """Ask each node about those of these engines that it has; a lost node has none."""

        async def ask(node: Node, some: list[int]) -> None:
            try:
                reply, _ = await node.ask(operation, targets=some)
            except ConnectionError:
                return
            if "refused" in reply:
                raise CallError(reply["refused"]["ename"], reply["refused"]["evalue"])

        await asyncio.gather(*(ask(*each) for each in self._by_node(ids).items()))

    def _by_node(self, ids: list[int]) -> dict[Node, list[int]]:
        groups = grouped([self.engines[engine_id].node for engine_id in ids])
        return {node: [ids[index] for index in some] for node, some in groups.items()}

    def node_changed(self, node: Node) -> None:
        """A node has told which engines it has."""
        del node
        self.changed()

    def node_lost(self, node: Node) -> None:
        """A node is gone: its engines are dead, and started elsewhere if the policy says so."""
        lost = {i: each for i, each in self.engines.items() if each.node is node and not each.lost}
        for each in lost.values():
            each.lost = f"was lost with its node {node.name} ({node.reason})"
        if self.worlds is not None:
            self.worlds.node_lost(node)
        if lost:
            self._log.error(
                "node %s is lost with %d engines: %s", node.name, len(lost), node.reason
            )
        self.changed()
        if self._options.restart == "on-death" and self.worlds is None:
            for engine_id, each in lost.items():
                self.spawn(self._restart_by_policy(engine_id, each))

    async def _restart_by_policy(self, engine_id: int, placed: Placed) -> None:
        cause = placed.lost

        def tell(what: str) -> None:
            placed.lost = f"{cause}; {what}"
            self.changed()

        dead = DeadEngine(
            str(engine_id),
            is_dead=lambda: self.engines.get(engine_id) is placed and placed.restarting is None,
            restart=lambda: self._restart_elsewhere([engine_id]),
            tell=tell,
        )
        await restart_by_policy(placed.policy, dead, self._log)

    def spawn(self, coroutine: Any) -> None:
        """Run a coroutine in the background, until the fleet is stopped."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End every node with its engines."""
        if self.worlds is not None:
            self.worlds.expect_end()
        for task in list(self._tasks):
            task.cancel()
        await self._pool.stop()
        if self.worlds is not None:
            await self.worlds.end_launcher()
        self.engines.clear()
