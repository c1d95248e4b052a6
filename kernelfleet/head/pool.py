"""The nodes of a fleet: started on workers of a cluster when engines need them, and watched."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from logging import Logger
from typing import Any, TypeVar

import zmq

from kernelfleet.clusters.base import Cluster, Started, Worker
from kernelfleet.clusters.opening import open_cluster
from kernelfleet.controller.options import FleetOptions
from kernelfleet.errors.tree import StartError
from kernelfleet.head import installations
from kernelfleet.head.node import Node, NodeWatcher
from kernelfleet.head.placement import NoRoom, choose, unique_name
from kernelfleet.head.timing import (
    FIRST_WORKER_SECONDS,
    STOP_SECONDS,
    TIMES_OF_A_NODE,
    WORKERS_SECONDS,
)
from kernelfleet.session.connection import Endpoint
from kernelfleet.wire.chunks import Uplink
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.handshake import key_of_node
from kernelfleet.wire.messages.nodes import NodeReport, NodeSpec
from kernelfleet.wire.platforms import number_of_cores
from kernelfleet.wire.pump import MAX_SOCKETS

T = TypeVar("T")

#: How often the workers are counted while more are awaited, if nothing is heard of them.
POLL_SECONDS = 1.0
#: Enough for a network of 10 Gbit/s.
MAX_IO_THREADS = 4
#: How often engines are placed anew when workers go while their nodes are being started.
PLACING_ATTEMPTS = 3
#: How many characters of a fleet's name its nodes have in theirs.
NAME_CHARACTERS = 40
#: How long a start that was given up may take to tell what it has started.
GIVEN_UP_SECONDS = 5.0


class NodePool:
    """The nodes, and the workers where there could be more. Every method runs on the loop."""

    watcher: NodeWatcher

    def __init__(self, log: Logger, options: FleetOptions) -> None:
        self._log, self._options = log, options
        # Not the context of the process's clients: encryption takes a thread for some 430 MB/s.
        self._context: zmq.Context[Any] = zmq.Context(min(MAX_IO_THREADS, number_of_cores()))
        self._context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
        self._loop, self._uplink = asyncio.get_running_loop(), Uplink()
        self._cluster: Cluster | None = None
        self._nodes: dict[str, Node] = {}  # by worker, living ones
        self._news = asyncio.Event()
        self._is_stopping = False
        #: Workers that have left while a node was being started there, and why.
        self._left: dict[str, str] = {}
        public, secret = zmq.curve_keypair()
        self._public_key, self._secret_key = public.decode(), secret.decode()

    @property
    def nodes(self) -> list[Node]:
        """The nodes that are there."""
        return list(self._nodes.values())

    # -- the cluster ----------------------------------------------------------------------------

    async def open(self) -> None:
        """Find the cluster, and wait until it has as many slots as engines are wanted.

        Raises:
            StartError: it cannot be reached, or has too few workers.
        """
        options = self._options
        self._cluster = await in_thread(
            lambda: open_cluster(options.cluster, self, insecure=options.insecure)
        )

    async def slots(self, wanted: int | None) -> int:
        """How many engines the workers are meant for, when those that were asked for have come.

        Args:
            wanted: How many are enough; None waits for all that were asked for.

        Raises:
            StartError: they did not come in time.
        """
        begin = self._loop.time()
        while True:
            self._news.clear()
            workers, awaited = await self._look()
            slots = sum(self._slots_of(worker) for worker in workers)
            is_enough = slots >= wanted if wanted is not None else bool(workers)
            patience = WORKERS_SECONDS if awaited else FIRST_WORKER_SECONDS
            if workers and (not awaited or (is_enough and wanted is not None)):
                return slots
            if self._loop.time() - begin > patience:
                raise StartError(self._why_too_few(len(workers), awaited, patience))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), POLL_SECONDS)

    async def _look(self) -> tuple[list[Worker], int]:
        cluster = self._cluster
        if cluster is None:
            raise StartError("the fleet is being stopped")
        return await in_thread(lambda: (cluster.workers(), cluster.awaited()))

    def _why_too_few(self, here: int, awaited: int, patience: float) -> str:
        assert self._cluster is not None
        if not awaited:
            return f"the cluster cannot be used: {self._cluster.why_no_workers}"
        return (
            f"{here} workers of the cluster have come within {patience:g} s, and {awaited} have "
            f"not: start the fleet when they are there (cluster.wait_for_workers({here + awaited})"
            f"), or with fewer engines and mec.scale(n) later"
        )

    def _slots_of(self, worker: Worker, usual: int = 1) -> int:
        per_node = self._options.per_node
        if isinstance(per_node, str):
            return int(worker.resources.get(per_node, 0))
        if per_node is not None:
            return per_node
        return usual if worker.slots is None else worker.slots

    # -- placement ------------------------------------------------------------------------------

    async def place(self, count: int, loads: Mapping[Node, int]) -> list[Node]:
        """The node for each of so many more engines; nodes are started where there are none.

        A worker that goes while a node is being started there is done without.

        Raises:
            StartError: there is no room, or a node could not be started.
        """
        for _ in range(PLACING_ATTEMPTS):
            workers, _ = await self._look()
            chosen = self._choose(workers, count, loads)
            missing = {name for name in chosen if name not in self._nodes}
            failed = await self._start_nodes([each for each in workers if each.name in missing])
            for name in missing:
                if name not in self._nodes and name not in failed:
                    failed[name] = f"the worker {name} is gone: {self._left.get(name, '')}"
            if not failed:
                return [self._nodes[name] for name in chosen]
            here = {worker.name for worker in (await self._look())[0]} - self._left.keys()
            if not here.isdisjoint(failed):
                break
        raise StartError(installations.all_reasons(list(failed.values())))

    def _choose(
        self, workers: Sequence[Worker], count: int, loads: Mapping[Node, int]
    ) -> list[str]:
        """The worker for each of so many more engines."""
        # A host that does not say is taken for one like those that are known.
        usual = max((node.slots for node in self.nodes), default=1)
        slots = {worker.name: self._slots_of(worker, usual) for worker in workers}
        for node in self.nodes:
            slots[node.worker] = node.slots
        loads_by_worker = {node.worker: load for node, load in loads.items() if not node.is_lost}
        strict = self._options.per_node is not None
        try:
            return choose(slots, loads_by_worker, count, strict=strict)
        except NoRoom as error:
            raise StartError(self._why_no_room(slots, str(error))) from None

    def _why_no_room(self, slots: Mapping[str, int], error: str) -> str:
        per_node = self._options.per_node
        usable = sum(1 for offered in slots.values() if offered > 0)
        if not slots:
            assert self._cluster is not None
            return f"the cluster cannot be used: {self._cluster.why_no_workers}"
        if isinstance(per_node, str):
            return f"{error}: {usable} of {len(slots)} workers have the resource {per_node!r}"
        return f"{error}: {len(slots)} nodes have at most {per_node} each (per_node)"

    # -- nodes ----------------------------------------------------------------------------------

    async def _start_nodes(self, workers: Sequence[Worker]) -> dict[str, str]:
        """Start a node on each of these workers; by worker, why there is none."""
        cluster = self._cluster
        if not workers:
            return {}
        if cluster is None:
            raise StartError("the fleet is being stopped")
        self._left.clear()
        specs = {worker.name: self._spec() for worker in workers}
        starting = in_thread(lambda: cluster.start(specs, installations.fits))
        try:
            started = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await self._abandon(starting, specs)
            raise
        failed: dict[str, str] = {}
        for worker in workers:
            each = started[worker.name]
            reason = installations.why_not_started(worker.name, each)
            if reason is None and each.report is not None:
                node = self._take(worker, specs[worker.name], each.report)
                node.python = each.installation.executable if each.installation else ""
            elif reason is not None:
                failed[worker.name] = reason
        new = [self._nodes[worker.name] for worker in workers if worker.name in self._nodes]
        for node, outcome in zip(
            new,
            await asyncio.gather(*(node.ready for node in new), return_exceptions=True),
            strict=True,
        ):
            if isinstance(outcome, BaseException):
                failed[node.worker] = (
                    f"node {node.name} ({node.worker}) cannot be reached: {outcome}"
                )
        return failed

    def _spec(self) -> NodeSpec:
        options = self._options
        return {
            "name": f"{options.name[:NAME_CHARACTERS]}-{secrets.token_hex(4)}",
            "host": None,
            "client_key": self._public_key,
            "embedded": options.embedded,
            "cwd": options.cwd,
            "on_start": options.on_start,
            "fork": options.fork,
            "preload": list(options.preload),
            "insecure_kernel": options.insecure_kernel,
            # The nodes of an MPI world end and begin together.
            "restart": "never" if options.mpi else options.restart,
            "limits": dict(options.limits),
            "mpi": options.mpi,
            "gpus": None if options.gpus_of_nodes is True else int(options.gpus_of_nodes),
        }

    def _take(self, worker: Worker, spec: NodeSpec, report: NodeReport) -> Node:
        """Open the session with a node that listens."""
        name = unique_name(report["host"], [node.name for node in self.nodes])
        slots = self._slots_of(worker)
        if self._options.per_node is None and worker.slots is None:
            slots = report["cores"]
        node = Node(name, worker.name, slots, self._endpoint(spec, report), self, TIMES_OF_A_NODE)
        node.host = worker.host or report["host"]
        self._nodes[worker.name] = node
        if worker.name in self._left:
            node.lose(self._left[worker.name])
        return node

    def _endpoint(self, spec: NodeSpec, report: NodeReport) -> Endpoint:
        fleet = FleetFile(
            name=spec["name"],
            pid=report["pid"],
            host=report["host"],
            started=0.0,
            key=key_of_node(spec["name"], self._public_key),
            tcp=report["url"],
            server_public_key=report["server_key"],
            client_public_key=self._public_key,
            client_secret_key=self._secret_key,
        )
        head_id = f"head-{secrets.token_hex(8)}"
        return Endpoint(self._loop, self._context, fleet, report["url"], head_id, self._uplink)

    async def _abandon(
        self, starting: asyncio.Future[dict[str, Started]], specs: Mapping[str, NodeSpec]
    ) -> None:
        """End the nodes of a start that was given up: a node ends when its head has left."""
        with contextlib.suppress(Exception):
            started = await asyncio.wait_for(asyncio.shield(starting), GIVEN_UP_SECONDS)
            for worker, each in started.items():
                if each.report is not None and "error" not in each.report:
                    self._take(Worker(worker), specs[worker], each.report)

    # -- what becomes of them -------------------------------------------------------------------

    def node_changed(self, node: Node) -> None:
        """A node has told which engines it has."""
        self.watcher.node_changed(node)

    def node_lost(self, node: Node) -> None:
        """A node is gone for good; while the fleet is stopped, that is as it should be."""
        if self._is_stopping:
            return
        if self._nodes.get(node.worker) is node:
            del self._nodes[node.worker]
        self.watcher.node_lost(node)

    def worker_came(self, worker: str) -> None:
        """A worker is there that was not there before. Called on any thread."""
        del worker
        self._soon(self._news.set)

    def worker_left(self, worker: str, reason: str) -> None:
        """A worker, or the process of its node, is gone. Called on any thread."""
        self._soon(self._lose, worker, reason)

    def _soon(self, call: Callable[..., object], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the fleet has ended
            self._loop.call_soon_threadsafe(call, *args)

    def _lose(self, worker: str, reason: str) -> None:
        self._left[worker] = reason
        node = self._nodes.get(worker)
        if node is not None:
            node.lose(reason)
        self._news.set()

    # -- the end --------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End every node, wait for that a limited time, and leave the cluster as it was."""
        self._is_stopping = True

        async def end(node: Node) -> None:
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await node.ready
                    await node.ask("shutdown")
                    await node.ended.wait()
            node.close()

        await asyncio.gather(*(end(node) for node in self.nodes))
        self._nodes.clear()
        await in_thread(self._context.term)  # waits for what is still being sent to nodes
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(in_thread(cluster.close), STOP_SECONDS)


def in_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """Run what may block on a thread of its own, which the end of the process does not wait for.

    (``asyncio.to_thread`` has an executor that is gone when the interpreter ends.)
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as failure:  # noqa: BLE001 (raised by whoever waits)
            error = failure
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="kernelfleet-cluster", daemon=True).start()
    return future
