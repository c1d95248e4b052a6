"""The widgets of engines on nodes: who is told of them, and what is left of those of a lost node.

Each node knows the states of the comms of its own engines, and to which bridge each belongs. The
head passes on what nodes say, merged once more for a client that reads slowly, and tells a node of
a client's bridge before the first request of that client goes there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kernelfleet.controller.clients import Clients
from kernelfleet.controller.comms.router import CommRouter
from kernelfleet.head.node import Node
from kernelfleet.wire.buffers.frames import frame_bytes
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import CLOSE, OPEN, CommMessage, read_listing


class HeadComms:
    """See the module's docstring.

    Args:
        clients: The clients of the head.
    """

    def __init__(self, clients: Clients) -> None:
        self.router = CommRouter()
        self.router.serve(clients)
        #: The bridge of each client that has one.
        self._bridges: dict[str, str] = {}
        #: The nodes that know a client's bridge, and the comms that bridges have of each node.
        self._introduced: dict[Node, set[str]] = {}
        self._open: dict[Node, dict[tuple[str, int, str], None]] = {}

    def watch(self, client: str, bridge: str) -> None:
        """From now on a client belongs to a bridge."""
        self._bridges[client] = bridge
        self.router.watch(client, bridge)

    def introduce(self, client: str, nodes: Iterable[Node]) -> None:
        """Tell nodes of the bridge of a client, where they do not know it."""
        bridge = self._bridges.get(client)
        if bridge is None:
            return
        for node in nodes:
            introduced = self._introduced.setdefault(node, set())
            if client not in introduced:
                introduced.add(client)
                node.on_comms = self.take
                node.owners.setdefault(client, None)  # it is told when the client leaves
                node.tell("watch_comms", bridge=bridge, owner=client)

    def leave(self, client: str) -> None:
        """A client has left."""
        self._bridges.pop(client, None)
        self.router.leave(client)
        for introduced in self._introduced.values():
            introduced.discard(client)

    def take(self, node: Node, header: JsonDict, buffers: list[Any]) -> None:
        """Pass on what a node tells one bridge."""
        bridge = header["bridge"]
        self.note(node, bridge, header["messages"])
        for engine_id, said in read_listing(header["messages"], buffers):
            said.size_bytes = len(str(said.data)) + sum(map(frame_bytes, said.buffers))
            self.router.tell([bridge], engine_id, said)

    def note(self, node: Node, bridge: str, listed: Iterable[JsonDict]) -> None:
        """Note what a bridge has, as it must be closed if the node is lost."""
        known = self._open.setdefault(node, {})
        for each in listed:
            key = (bridge, each["engine"], str(each["content"].get("comm_id")))
            if each["msg_type"] == OPEN:
                known[key] = None
            elif each["msg_type"] == CLOSE:
                known.pop(key, None)

    def close_lost(self) -> None:
        """Close what nodes had that are lost."""
        for node in [each for each in self._introduced if each.is_lost]:
            del self._introduced[node]
            for bridge, engine_id, comm_id in self._open.pop(node, {}):
                said = CommMessage(CLOSE, comm_id, {"reason": node.loss})
                self.router.tell([bridge], engine_id, said)
