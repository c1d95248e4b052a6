"""The clients that are connected, and what each is handed: nobody is waited for.

A client that does not read is given no more than ``Limits.unread_bytes`` of results (and one);
what comes then is dropped and told. Streamed output is left out as soon as a client is behind: the
result has all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from kernelfleet.controller.limits import Limits
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.outputs import to_pages

OUTPUT_LEFT_OUT = (
    "[output was left out here, as it came faster than this client reads; the result has it]\n"
)


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
    """By id; every method is called on the controller's loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._peers: dict[str, Peer] = {}

    def __contains__(self, client_id: str) -> bool:
        return client_id in self._peers

    def add(self, client_id: str, peer: Peer) -> None:
        """It has come (back)."""
        self._peers[client_id] = peer

    def remove(self, client_id: str) -> None:
        """It has gone."""
        self._peers.pop(client_id, None)

    def deliver(self, client_id: str, header: JsonDict, buffers: list[Any]) -> None:
        """Hand a message to a client, if it is there."""
        peer = self._peers.get(client_id)
        if peer is not None:
            peer.deliver(header, buffers)

    def tell_all(self, event: JsonDict) -> None:
        """Hand an event to everybody."""
        for peer in list(self._peers.values()):
            peer.deliver(event, [])

    def has_room(self, client_id: str) -> bool:
        """Whether a result may wait for it; whoever is not there is handed nothing anyhow."""
        peer = self._peers.get(client_id)
        return peer is None or peer.has_room

    def answer(self, client_id: str, reply: JsonDict, buffers: list[Any]) -> None:
        """Hand a client its reply; or word that it was dropped, if it does not read."""
        if not self.has_room(client_id):
            reply, buffers = self.dropped(reply), []
        self.deliver(client_id, reply, buffers)

    def dropped(self, reply: JsonDict) -> JsonDict:
        """What is said instead of a reply to a client that does not read."""
        text = (
            f"the result was dropped: more than {self._limits.unread_bytes} bytes of earlier ones "
            f"wait for this client, which does not read them (Limits.unread_bytes)"
        )
        short: JsonDict = {key: reply[key] for key in ("type", "to", "result_id") if key in reply}
        return {**short, "refused": {"ename": "FleetError", "evalue": text}}

    def show(self, client_id: str, seq: int, engine_id: int, pages: list[Any]) -> None:
        """Hand a client outputs of its running request."""
        event = {"type": "event", "event": "output", "to": seq, "engine": engine_id}
        self.deliver(client_id, event, pages)

    def stream_to(self, client_id: str, seq: int) -> Callable[[int, str, Any], None]:
        """What hands the outputs of a request to its client as they come, if it keeps up."""
        left_out: set[int] = set()

        def send(engine_id: int, msg_type: str, content: Any) -> None:
            self.show(client_id, seq, engine_id, to_pages(msg_type, content))

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
            send(engine_id, msg_type, content)

        return output
