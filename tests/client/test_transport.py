"""transport.py: in memory, and what a socket says of a controller that is not there.

Sockets with a controller behind them are in tests/conformance, over all transports.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from kernelfleet.client import loop, transport
from kernelfleet.client.line import Place
from kernelfleet.client.transport import EmbeddedTransport, SocketTransport
from kernelfleet.controller.controller import Controller
from kernelfleet.wire.connection import FleetFile


class Listener:
    """Notes what arrives."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, Any], list[Any]]] = []
        self.reasons: list[str] = []
        self.gone = threading.Event()
        self.is_waiting = True

    def receive(self, head: dict[str, Any], buffers: list[Any]) -> None:
        self.received.append((head, buffers))

    def away(self, reason: str) -> None:
        self.reasons.append(reason)

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)
        self.gone.set()


class Echo:
    """A controller that gives back what it gets."""

    def __init__(self) -> None:
        self.peer: Any = None
        self.left: list[str] = []

    def connect(self, client_id: str, peer: Any) -> dict[str, Any]:
        self.peer = peer
        return {"type": "welcome", "client": client_id}

    def handle(self, client_id: str, head: dict[str, Any], buffers: list[Any]) -> None:
        self.peer.deliver({"echo": head, "of": client_id}, buffers)

    def disconnect(self, client_id: str) -> None:
        self.left.append(client_id)


def test_messages_are_handed_over_in_memory_with_numbers() -> None:
    controller, listener = Echo(), Listener()
    embedded = EmbeddedTransport(cast(Controller, controller), "me", listener)
    embedded.send({"type": "request"}, [b"frame"])
    embedded.send({"type": "request"}, [])
    assert embedded.sent == 2
    assert listener.received == [
        ({"type": "welcome", "client": "me"}, []),
        ({"echo": {"type": "request", "n": 1}, "of": "me"}, [b"frame"]),
        ({"echo": {"type": "request", "n": 2}, "of": "me"}, []),
    ]


def test_nothing_passes_a_closed_embedded_transport() -> None:
    controller, listener = Echo(), Listener()
    embedded = EmbeddedTransport(cast(Controller, controller), "me", listener)
    embedded.close()
    embedded.close()
    embedded.send({"type": "request"}, [])
    embedded.deliver({"type": "reply"}, [])
    assert controller.left == ["me"]
    assert len(listener.received) == 1


def test_a_socket_gives_up_on_a_controller_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TICK_SECONDS", 0.005)
    thread, listener = loop.acquire(), Listener()
    fleet = FleetFile("gone", 1, "here", 0.0, key="00" * 32)

    def open_socket() -> None:
        url = f"ipc://{tmp_path}/nobody.sock"
        SocketTransport(Place(thread.loop, thread.context, fleet, url, "me"), listener)

    thread.call(open_socket)
    assert listener.gone.wait(10)
    loop.release(thread)
    assert listener.reasons == ["nobody listens there"]
    assert listener.received == []
