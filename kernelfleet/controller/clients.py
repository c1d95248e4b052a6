"""The connected clients, and the messages for each: the controller never waits for a client.

For a client that does not read, ``Limits.unread_bytes`` of results (and one more) are kept; later
ones are dropped, and the client is told so. Streamed output is left out as soon as a client is
behind, as the result contains all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from kernelfleet.controller.limits import Limits
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.outputs import as_bytes, to_pages

OUTPUT_LEFT_OUT = (
    "[output was left out here, as it came faster than this client reads; the result has it]\n"
)


#: What a display of a widget has in its content, and the types that may.
VIEW = b"widget-view"
DISPLAYS = ("display_data", "execute_result", "update_display_data")


class Peer(Protocol):
    """Where the messages for one client go."""

    def deliver(self, header: JsonDict, buffers: list[Any]) -> None:
        """Hand over one message; must not block."""

    @property
    def has_room(self) -> bool:
        """Whether results may still wait for this client to read them."""

    @property
    def is_behind(self) -> bool:
        """Whether it reads so slowly that streamed output is left out."""


class Clients:
    """The clients by id; every method is called on the controller's loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._peers: dict[str, Peer] = {}
        #: Called with a client's id before it is shown what may be a view of a widget.
        self.before_view: Callable[[str], object] = lambda _: None

    def __contains__(self, client_id: str) -> bool:
        return client_id in self._peers

    def add(self, client_id: str, peer: Peer) -> None:
        """A client has connected, perhaps again."""
        self._peers[client_id] = peer

    def remove(self, client_id: str) -> None:
        """A client has left."""
        self._peers.pop(client_id, None)

    def deliver(self, client_id: str, header: JsonDict, buffers: list[Any]) -> None:
        """Hand a message to a client, if it is there."""
        peer = self._peers.get(client_id)
        if peer is not None:
            peer.deliver(header, buffers)

    def tell_all(self, event: JsonDict) -> None:
        """Send an event to every client."""
        for peer in list(self._peers.values()):
            peer.deliver(event, [])

    def has_room(self, client_id: str) -> bool:
        """Whether a result may wait for this client; True for one that is not connected."""
        peer = self._peers.get(client_id)
        return peer is None or peer.has_room

    def is_behind(self, client_id: str) -> bool:
        """Whether a client reads so slowly that streamed output is left out."""
        peer = self._peers.get(client_id)
        return peer is not None and peer.is_behind

    def answer(self, client_id: str, reply: JsonDict, buffers: list[Any]) -> None:
        """Send a client its reply, or an error instead if it does not read."""
        if not self.has_room(client_id):
            reply, buffers = self.dropped(reply), []
        self.deliver(client_id, reply, buffers)

    def dropped(self, reply: JsonDict) -> JsonDict:
        """The error that replaces a reply to a client that does not read."""
        text = (
            f"the result was dropped: more than {self._limits.unread_bytes} bytes of earlier ones "
            f"wait for this client, which does not read them (Limits.unread_bytes)"
        )
        short: JsonDict = {key: reply[key] for key in ("type", "to", "result_id") if key in reply}
        return {**short, "refused": {"ename": "FleetError", "evalue": text}}

    def show(self, client_id: str, n: int, engine_id: int, pages: list[Any]) -> None:
        """Hand a client outputs of its running request."""
        event = {"type": "event", "event": "output", "to": n, "engine": engine_id}
        self.deliver(client_id, event, pages)

    def stream_to(self, client_id: str, n: int) -> Callable[[int, str, Any], None]:
        """A function that streams outputs of a request to its client as long as it keeps up."""
        left_out: set[int] = set()

        def send(engine_id: int, msg_type: str, content: Any) -> None:
            self.show(client_id, n, engine_id, to_pages(msg_type, content))

        def output(engine_id: int, msg_type: str, content: Any) -> None:
            peer = self._peers.get(client_id)
            if peer is None:
                return
            if peer.is_behind and msg_type != "input_request":
                left_out.add(engine_id)
                return
            if engine_id in left_out:
                left_out.remove(engine_id)
                note = {"name": "stderr", "text": OUTPUT_LEFT_OUT}
                send(engine_id, "stream", json.dumps(note).encode())
            if msg_type in DISPLAYS and VIEW in as_bytes(content):
                self.before_view(client_id)
            send(engine_id, msg_type, content)

        return output
