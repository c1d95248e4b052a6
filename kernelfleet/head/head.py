"""The head: a controller whose engines are those of nodes.

::

    client --handle--> Head --a part per node--> NodeController --> engines
    client <--deliver- Head <---- results ------ NodeController

Queues, histories and properties are where the engines are; clients, results and placement are
here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from logging import Logger
from typing import Any, TypeVar

from kernelfleet.controller.base import Answer, BaseController, Call
from kernelfleet.controller.limits import Limits
from kernelfleet.controller.requests import CallError, OnOutput, Request
from kernelfleet.head.comms import HeadComms
from kernelfleet.head.node import Node
from kernelfleet.head.parts import SplitRequest
from kernelfleet.head.placement import grouped
from kernelfleet.head.registry import NodeRegistry
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.operations import Operation, why_not_portable

T = TypeVar("T")


class Head(BaseController[Node]):
    """Splits requests by node, and merges the answers."""

    one_machine = False

    def __init__(
        self,
        name: str,
        registry: NodeRegistry,
        calls: Mapping[str, Call],
        log: Logger,
        stop: Callable[[], None],
        limits: Limits | None = None,
        kernel_name: str | None = None,
    ) -> None:
        super().__init__(name, calls, log, stop, limits, kernel_name)
        self.registry = registry
        registry.on_change = self.engines_changed
        self.comms = HeadComms(self.clients)
        #: By result id, the running requests that nodes have parts of.
        self.split: dict[str, SplitRequest] = {}

    def known_engines(self) -> JsonDict:
        """Which engines there are, as clients are told (``KnownEngines``)."""
        return self.registry.known()

    def engines_changed(self) -> None:
        """Tell every client which engines there are, and close widgets of those that are lost."""
        super().engines_changed()
        self.comms.close_lost()

    def forget_owner(self, client_id: str) -> None:
        """End the maps and executors of a client that has left."""
        self._imports.forget(client_id)
        self.comms.leave(client_id)
        for node in self.registry.living:
            if node.owners.pop(client_id, "never asked") != "never asked":
                node.tell("forget_owner", owner=client_id)

    def find_nodes(self, targets: Sequence[int]) -> list[Node]:
        """The node of each of these engines, which are registered.

        Raises:
            CallError: one is not there; nothing has been done then.
        """
        self.check_running()
        nodes = []
        for engine_id in targets:
            node = self.registry.find(engine_id)
            if node is None:
                raise self.no_engine(engine_id, self.registry.ids, self.registry.dead)
            nodes.append(node)
        return nodes

    def _admit(self, operation: Operation, targets: list[int]) -> Sequence[Node]:
        nodes = self.find_nodes(targets)
        for engine_id, node in zip(targets, nodes, strict=True):
            other = node.known.get("portable", {}).get(str(engine_id))
            if other is not None:
                reason = why_not_portable(operation, other["language"], other["no_functions"])
                if reason:
                    kernel = f"engine {engine_id} runs the kernel {other['kernel']!r}"
                    text = f"{kernel} ({other['language']}), which cannot {operation.name}: "
                    raise CallError("UnsupportedOperation", text + reason)
        return nodes

    def _begin(
        self, request: Request, places: Sequence[Node], client_id: str, header: JsonDict
    ) -> None:
        def refused(error: CallError) -> None:
            self.split.pop(request.result_id, None)
            self._refuse_running(client_id, header["n"], request, error)

        split = self.split[request.result_id] = SplitRequest(request, refused)
        parts = grouped(places)
        self.comms.introduce(client_id, parts)
        split.send(parts, header)

    def _finished(self, client_id: str, n: int, header: JsonDict, request: Request) -> None:
        self.split.pop(request.result_id, None)
        if request.operation.goes_first:
            self.comms.router.flush_for(
                client_id
            )  # what a callback has done is told before its end
        super()._finished(client_id, n, header, request)

    def _follow(self, client_id: str, n: int, request: Request, show: OnOutput) -> None:
        split = self.split[request.result_id]
        follower = f"{client_id}/{n}"
        split.followers.add(follower, client_id, show)
        for engine_id, pages in request.outputs:
            self.clients.show(client_id, n, engine_id, pages)
        for node in split.open:
            node.tell("follow", result_id=request.result_id, follower=follower)

    async def ask_parts(
        self, result_id: str, operation: str, **fields: Any
    ) -> list[tuple[JsonDict, list[Any]]]:
        """Ask the nodes that still work on a request about it; those that are lost are left out."""
        split = self.split.get(result_id)
        if split is None:
            return []

        async def ask(node: Node, indices: list[int]) -> tuple[JsonDict, list[Any]] | None:
            targets = [split.request.targets[index] for index in indices]
            if operation == "cancel":  # passes what is on its way to other engines
                fields["targets"] = targets
            try:
                return await node.ask(operation, result_id=result_id, **fields)
            except ConnectionError:
                return None

        answers = await asyncio.gather(*(ask(*each) for each in list(split.open.items())))
        return [each for each in answers if each is not None and "value" in each[0]]

    async def ask_all(self, ask: Callable[[Node], Awaitable[T]]) -> list[T]:
        """What every node answers; those that are lost meanwhile are left out."""
        nodes = self.registry.living
        answers = await asyncio.gather(*map(ask, nodes), return_exceptions=True)
        found: list[T] = []
        for answer in answers:
            if isinstance(answer, ConnectionError):
                continue
            if isinstance(answer, BaseException):
                raise answer
            found.append(answer)
        return found

    async def cancel(self, result_id: str, *, interrupt: bool) -> Answer:
        """Drop a request's waiting jobs, and interrupt its running ones if asked to."""
        told = await self.ask_parts(result_id, "cancel", interrupt=interrupt)
        value = {
            key: [engine for header, _ in told for engine in header["value"][key]]
            for key in ("dropped", "interrupted")
        }
        return {"value": value}, []

    async def _end_engines(self) -> None:
        await self.registry.stop()
