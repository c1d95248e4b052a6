"""A node as the head sees it: a session with its controller, by the protocol of every client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from kernelfleet.session.connection import Endpoint
from kernelfleet.session.timing import SessionTimes
from kernelfleet.session.transport import SocketTransport
from kernelfleet.wire.messages import JsonDict

#: Gets the header and the buffers of a reply; None if the node was lost.
Done = Callable[[JsonDict | None, list[Any]], None]
#: Gets the events that belong to a request.
OnEvent = Callable[[JsonDict, list[Any]], None]


class NodeWatcher(Protocol):
    """Is told what becomes of nodes."""

    def node_changed(self, node: Node) -> None:
        """Its engines have changed."""

    def node_lost(self, node: Node) -> None:
        """It is gone for good; ``node.reason`` says why."""


class Node:
    """Requests out, replies in. A node is lost once, and for good.

    Attributes:
        name: What users see.
        host: What launchers of other programs call its machine.
        python: The path of its interpreter.
        worker: What the cluster calls its place.
        slots: How many engines it is meant for.
        address: That of its machine, as we reach it.
        known: Its engines, as it has told them last (``KnownEngines``).
        registered: The ids of those that take work.
        reason: Why it is lost; empty while it is not.
        owners: The clients that it has been asked for, with the imports that it was told for each.
    """

    def __init__(
        self,
        name: str,
        worker: str,
        slots: int,
        endpoint: Endpoint,
        watcher: NodeWatcher,
        times: SessionTimes,
    ) -> None:
        self.name, self.worker, self.slots = name, worker, slots
        self.host, self.python = name, ""
        self.address = str(urlsplit(endpoint.url).hostname)
        self.known: JsonDict = {"ids": [], "dead": {}, "total": 0, "pythons": {}, "portable": {}}
        self.registered: frozenset[int] = frozenset()
        self.reason = ""
        self.owners: dict[str, str | None] = {}
        self.ready: asyncio.Future[None] = endpoint.loop.create_future()
        #: Set when it is lost, or has ended as it was told to.
        self.ended = asyncio.Event()
        #: Gets what its engines' widgets say.
        self.on_comms: Callable[[Node, JsonDict, list[Any]], object] = lambda *_: None
        #: Gets what ranks of an MPI world say there.
        self.on_world: Callable[[Node, JsonDict], object] = lambda *_: None
        self._watcher = watcher
        self._waiting: dict[int, tuple[Done, OnEvent | None]] = {}
        self._loop = endpoint.loop
        self._transport: SocketTransport | None = None
        self._transport = SocketTransport(endpoint, self, times=times)

    def __repr__(self) -> str:
        return f"<Node {self.name} ({self.worker})>"

    @property
    def is_lost(self) -> bool:
        """Whether it is gone."""
        return bool(self.reason)

    # -- what it is asked -----------------------------------------------------------------------

    def send(
        self,
        header: JsonDict,
        buffers: list[Any],
        done: Done,
        on_event: OnEvent | None = None,
    ) -> None:
        """Send a request; ``done`` is called once, with the reply or when the node is lost."""
        if self._transport is None or self.is_lost:
            done(None, [])
            return
        numbered = self._transport.number({"type": "request", **header}, buffers)
        self._waiting[numbered["n"]] = done, on_event
        self._transport.send(numbered, buffers)

    async def ask(self, operation: str, **fields: Any) -> tuple[JsonDict, list[Any]]:
        """Send a request that has no data of its own, and wait for the reply.

        Raises:
            ConnectionError: the node was lost.
        """
        answer: asyncio.Future[tuple[JsonDict, list[Any]]] = self._loop.create_future()

        def done(header: JsonDict | None, buffers: list[Any]) -> None:
            if answer.done():
                return
            if header is None:
                answer.set_exception(ConnectionError(self.loss))
            else:
                answer.set_result((header, buffers))

        self.send({"operation": operation, **fields}, [], done)
        return await answer

    def tell(self, operation: str, **fields: Any) -> None:
        """Send a request whose answer nobody waits for."""
        self.send({"operation": operation, **fields}, [], lambda *_: None)

    @property
    def loss(self) -> str:
        """In words, that it is lost."""
        return f"its node {self.name} is lost: {self.reason}"

    # -- what it says (``session/transport.py`` calls these) ------------------------------------

    def receive(self, header: JsonDict, buffers: list[Any]) -> None:
        """Take a message of the node."""
        kind = header["type"]
        if kind == "reply":
            done, _ = self._waiting.pop(header["to"], (None, None))
            if done is not None:
                done(header, buffers)
        elif kind == "welcome":
            self._learn(header["roster"])
            if not self.ready.done():
                self.ready.set_result(None)
        elif kind == "event":
            self._take_event(header, buffers)

    def _take_event(self, header: JsonDict, buffers: list[Any]) -> None:
        event = header["event"]
        if event == "roster":
            self._learn(header["roster"])
            self._watcher.node_changed(self)
        elif event == "world":
            self.on_world(self, header["said"])
        elif event == "comms":
            self.on_comms(self, header, buffers)
        elif event == "stopping" and header.get("reason"):
            # It ends, and not as the head has asked: what its engines say from now on, that their
            # fleet is stopped, is not true of this fleet.
            self.lose(header["reason"])
        elif "to" in header:
            _, on_event = self._waiting.get(header["to"], (None, None))
            if on_event is not None:
                on_event(header, buffers)

    def _learn(self, known: JsonDict) -> None:
        self.known, self.registered = known, frozenset(known["ids"])

    def away(self, reason: str) -> None:
        """It does not answer for too long: its engines count as dead, and it ends itself."""
        self.lose(reason)

    def lost(self, reason: str) -> None:
        """It has ended, or could not be reached."""
        self.lose(reason)

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is awaited."""
        return bool(self._waiting)

    # -- the end --------------------------------------------------------------------------------

    def lose(self, reason: str) -> None:
        """Give it up, for good: fail what it was asked. If it lives, it ends with the session."""
        if self.ended.is_set():
            return
        self.reason = reason or "it is gone"
        self.ended.set()
        self._close()
        self._watcher.node_lost(self)  # before the failures: its engines are dead to whoever asks
        waiting, self._waiting = self._waiting, {}
        for done, _ in waiting.values():
            done(None, [])

    def close(self) -> None:
        """Leave it: a node ends with its head."""
        self.ended.set()
        self.reason = self.reason or "the fleet was stopped"
        self._close()

    def _close(self) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(self.reason))
            self.ready.exception()  # mark it as retrieved: perhaps nobody waits
        transport, self._transport = self._transport, None
        if transport is not None:
            # Later: the transport may be in the middle of telling us.
            self._loop.call_soon(transport.close)
