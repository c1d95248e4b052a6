"""The bridges of a fleet: which clients belong to which, and how often they are told of comms.

::

    EngineComms --tell--> Pending of each bridge --every 30 ms, and before a view--> client

What a view shows was opened before, and must reach the client before. For a client that reads too
slowly the messages wait on, and what waits grows by no more than new widgets (``pending.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kernelfleet.controller.clients import Clients
from kernelfleet.controller.comms.engine_comms import EngineComms
from kernelfleet.controller.comms.pending import Pending
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import CLOSE, CommMessage

if TYPE_CHECKING:
    from kernelfleet.controller.engines.engine import Engine
    from kernelfleet.controller.engines.in_flight import InFlight, Outcome

#: A bridge is told of comms at most so often.
PACE_SECONDS = 0.03


class CommRouter:
    """See the module's docstring; every method is called on the controller's loop."""

    def __init__(self) -> None:
        self._clients: Clients | None = None
        self._engines: dict[int, EngineComms] = {}
        #: The clients of each bridge; the first is told.
        self._members: dict[str, list[str]] = {}
        self._bridge_of: dict[str, str] = {}
        #: Of the clients of a head its own session with this node, by which they are told.
        self._via: dict[str, str] = {}
        self._pending: dict[str, Pending] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def serve(self, clients: Clients) -> Clients:
        """Send what bridges are told to these clients; returns them."""
        self._clients = clients
        clients.before_view = self.flush_for
        return clients

    def of_engine(self, engine_id: int) -> EngineComms:
        """What is to take the comm messages of an engine."""
        comms = self._engines[engine_id] = EngineComms(engine_id, self)
        return comms

    # -- bridges --------------------------------------------------------------------------------

    def watch(self, client: str, bridge: str, via: str | None = None) -> None:
        """From now on a client belongs to a bridge; ``via`` is who is told instead of it."""
        self._via[client] = client if via is None else via
        if self._bridge_of.get(client) == bridge:
            return
        self.leave(client)
        self._bridge_of[client] = bridge
        self._members.setdefault(bridge, []).append(client)
        self._pending.setdefault(bridge, self._new_pending(bridge))

    def leave(self, client: str) -> None:
        """A client has left; its bridge goes on with another one, if it has any."""
        bridge = self._bridge_of.pop(client, None)
        if bridge is None:
            return
        del self._via[client]
        self._members[bridge].remove(client)
        if self._members[bridge]:
            self._schedule(bridge, 0.0)
            return
        del self._members[bridge], self._pending[bridge]
        if (timer := self._timers.pop(bridge, None)) is not None:
            timer.cancel()
        for comms in self._engines.values():
            comms.leave(bridge)

    def openers(self, client: str | None) -> list[str]:
        """The bridges that have what the code of a client opens; None: nobody knows whose."""
        if client is None:
            return list(self._members)
        bridge = self._bridge_of.get(client)
        return [] if bridge is None else [bridge]

    def has(self, bridge: str, engine_id: int, comm_id: str) -> None:
        """A bridge has a comm already, and lacks what was said of it meanwhile."""
        comms = self._engines.get(engine_id)
        if comms is None:
            self.tell([bridge], engine_id, CommMessage(CLOSE, comm_id))
        else:
            comms.has(bridge, comm_id)

    def _new_pending(self, bridge: str) -> Pending:
        def give_up(engine_id: int, comm_id: str) -> None:
            if (comms := self._engines.get(engine_id)) is not None:
                comms.leave(bridge, comm_id)

        return Pending(give_up)

    # -- messages -------------------------------------------------------------------------------

    def tell(self, bridges: Iterable[str], engine_id: int, said: CommMessage) -> None:
        """Send a message to bridges, now or with others that follow at once."""
        for bridge in bridges:
            pending = self._pending.get(bridge)
            if pending is not None:
                pending.add(engine_id, said)
                self._schedule(bridge, 0.0)

    # -- what happens to engines, as the registry tells -------------------------------------------

    def engines_changed(self) -> None:
        """Nothing: an engine's comms are closed by itself."""

    def engine_restarted(self, engine: Engine) -> None:
        """Nothing, likewise."""

    def engine_finished(self, engine: Engine, run: InFlight, outcome: Outcome) -> None:
        """Tell what a callback has done before its end is told."""
        del engine, outcome
        if run.job.operation.goes_first:
            self.flush()

    def flush(self) -> None:
        """Send everything now: what follows must not come before."""
        for bridge in list(self._pending):
            self._send(bridge)

    def flush_for(self, client: str) -> None:
        """Send what waits for the bridges of a client, before something else is sent."""
        for bridge in list(self._pending):
            if self._receiver(bridge) == client:
                self._send(bridge)

    def _receiver(self, bridge: str) -> str:
        return self._via[self._members[bridge][0]]

    def _schedule(self, bridge: str, seconds: float) -> None:
        if bridge not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[bridge] = loop.call_later(seconds, self._on_time, bridge)

    def _on_time(self, bridge: str) -> None:
        del self._timers[bridge]
        if not self._pending[bridge]:
            return
        if self._clients is not None and not self._clients.is_behind(self._receiver(bridge)):
            self._send(bridge)
        self._schedule(bridge, PACE_SECONDS)

    def _send(self, bridge: str) -> None:
        if self._clients is None or bridge not in self._pending:
            return
        if taken := self._pending[bridge].take():
            listed, buffers = listing_of(taken)
            event = {"type": "event", "event": "comms", "bridge": bridge, "messages": listed}
            self._clients.deliver(self._receiver(bridge), event, buffers)


def listing_of(messages: Iterable[tuple[int, CommMessage]]) -> tuple[list[JsonDict], list[Any]]:
    """Messages as they stand in a header, and the buffers of all of them."""
    listed, buffers = [], []
    for engine_id, said in messages:
        listed.append(
            {
                "engine": engine_id,
                "msg_type": said.msg_type,
                "content": said.content,
                "metadata": said.metadata,
                "buffers": len(said.buffers),
            }
        )
        buffers += said.buffers
    return listed, buffers
