"""One connection of a client: a DEALER, its handshake, and what its monitor tells. It breaks once.

ZMQ would reconnect by itself, but what had been queued for the broken connection would then be sent
beside what the protocol sends again, and keys are made for one connection. So each has a socket
of its own. Runs on the loop thread.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import zmq
from zmq.utils.monitor import parse_monitor_message

from kernelfleet.session.reachability import Phase
from kernelfleet.wire.chunks import (
    OVERHEAD_BYTES,
    Incoming,
    Outgoing,
    frame_limit,
)
from kernelfleet.wire.codec import BadMessage, Codec
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.handshake import PLAIN_USERNAME, line_codecs, new_nonce, plain_password
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.pump import SocketPump
from kernelfleet.wire.versions import HERE

#: Milliseconds until ZMQ would connect again by itself.
NEVER = 10**9
#: Seconds until the system gives up bytes that the controller's host does not take.
DEAD_LINK_SECONDS = 10


@dataclass(frozen=True)
class Endpoint:
    """Where a controller is, and who asks."""

    loop: asyncio.AbstractEventLoop
    context: zmq.Context[Any]
    fleet: FleetFile
    url: str
    client_id: str


class ConnectionUser(Protocol):
    """Who is told what happens on a line; nothing more once it has closed it."""

    def line_progressed(self, line: Connection, phase: Phase) -> None:
        """It is ``connected``, or ``greeted``."""

    def line_ready(self, line: Connection) -> None:
        """It has its keys: it can be opened."""

    def line_heard(self, line: Connection, header: JsonDict, buffers: list[Any]) -> None:
        """A message that was signed for this line."""

    def line_alive(self, line: Connection) -> None:
        """A part of a message has come, or word that one has arrived."""

    def line_doubted(self, line: Connection, reason: str) -> None:
        """What is there may be no controller of ours, or the network is bad."""

    def line_refused(self, line: Connection, reason: str) -> None:
        """The controller, or whatever is there, does not want us."""

    def line_broken(self, line: Connection) -> None:
        """The connection has ended, or never came to be."""


class Connection:
    """A connection that is being made; ``user`` hears how it goes."""

    def __init__(self, place: Endpoint, user: ConnectionUser) -> None:
        self._place, self._user = place, user
        self._key = bytes.fromhex(place.fleet.key)
        self._nonce = new_nonce()
        #: Of the fleet until the challenge has come, then of this line.
        self._outgoing = self._incoming = Codec(self._key)
        self._sender: Outgoing | None = None
        self._joiner = Incoming()
        #: Whether it has its keys.
        self.is_ready = False
        socket = _socket(place)
        monitor = socket.get_monitor_socket()
        self._monitor = SocketPump(place.loop, monitor, self._on_monitor, copy=True)
        self._pump = SocketPump(place.loop, socket, self._on_frames)
        socket.connect(place.url)
        hello = {"type": "hello", "version": HERE.protocol, "kernelfleet": HERE.kernelfleet}
        self.send({**hello, "client": place.client_id, "nonce": self._nonce}, [])

    def send(self, header: JsonDict, frames: list[Any]) -> None:
        """Send a message; what follows a large one waits for it if it has to do with it."""
        if self._sender is None:
            self._pump.send(self._outgoing.encode(header, frames))
        elif header["type"] in _PLACELESS:
            self._sender.pass_by(header)
        else:
            self._sender.send(header, frames)

    def close(self, linger: float = 0.0) -> None:
        """End it; the user hears nothing any more. Safe to call twice."""
        if self._pump.is_closed:
            return
        self._pump.socket.disable_monitor()
        self._monitor.close()
        self._pump.close(linger)

    def _on_frames(self, frames: list[Any]) -> None:
        try:
            header, buffers = self._incoming.decode(frames)
            if header["type"] in ("part", "more") and self._sender is not None:
                self._on_part(self._sender, header, buffers)
                return
        except BadMessage as error:
            reason = f"what answers there is signed with another key ({error})"
            self._user.line_doubted(self, reason)
            return
        if self.is_ready:
            self._user.line_heard(self, header, buffers)
        elif header["type"] == "refused":
            self._user.line_refused(self, str(header.get("reason")))
        elif header["type"] == "challenge" and header.get("nonce") == self._nonce:
            codecs = line_codecs(
                self._key, self._place.client_id, self._nonce, str(header.get("challenge"))
            )
            self._outgoing, self._incoming = codecs.to_controller, codecs.to_client
            limit = frame_limit(self._place.url)
            self._sender = Outgoing(codecs.to_controller, self._pump.send, limit)
            self.is_ready = True
            self._user.line_ready(self)

    def _on_part(self, sender: Outgoing, header: JsonDict, pieces: list[Any]) -> None:
        if header["type"] == "more":
            sender.confirmed(header)
            self._user.line_alive(self)
            return
        whole = self._joiner.take(header, pieces)
        sender.pass_by(self._joiner.confirmation)
        if whole is None:
            self._user.line_alive(self)
        else:
            self._user.line_heard(self, *self._incoming.decode(whole))

    def _on_monitor(self, frames: list[Any]) -> None:
        event = parse_monitor_message(frames)["event"]
        if event == zmq.EVENT_CONNECTED:
            self._user.line_progressed(self, "connected")
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._user.line_progressed(self, "greeted")
        elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            self._user.line_doubted(self, _CLOSED_IN_HANDSHAKE)
            self._user.line_broken(self)
        elif event in _REFUSALS:
            self._user.line_refused(self, _REFUSALS[event])
        elif event in (zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED):
            self._pump.drain()  # what came before the end
            if not self._pump.is_closed:
                self._user.line_broken(self)


#: What is said of messages that have come, or of the end of it all, waits for nothing. Pings keep
#: their place: their answer tells what has come of all that was sent before them.
_PLACELESS = frozenset({"ack", "resend", "bye"})
#: A connection that is cut during its handshake looks the same, so it takes more than one.
_CLOSED_IN_HANDSHAKE = (
    "it has another server key, or is no kernelfleet controller: is the connection "
    "file that of this fleet?"
)
_REFUSALS: dict[int, str] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: (
        "it refuses our key: is the connection file that of this fleet?"
    ),
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: (
        "what listens there is no kernelfleet controller, or one of another version"
    ),
}


def _encrypts(url: str) -> bool:
    return url.startswith("tcp:")


def _socket(place: Endpoint) -> zmq.Socket[Any]:
    socket: zmq.Socket[Any] = place.context.socket(zmq.DEALER)
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = 0
    # Not -1: ZMQ (4.3.5) would then drop what had arrived before the end and was not read yet.
    socket.setsockopt(zmq.RECONNECT_IVL, NEVER)
    # Whoever listens there may be an impostor: libzmq holds a whole frame before it looks at keys.
    socket.setsockopt(zmq.MAXMSGSIZE, frame_limit(place.url) + OVERHEAD_BYTES)
    # The system's keepalive, which a stopped or busy controller answers too. Not ZMQ's heartbeat:
    # its answer waits behind a large message, which a slow network could then never deliver.
    socket.setsockopt(zmq.TCP_MAXRT, DEAD_LINK_SECONDS * 1000)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, DEAD_LINK_SECONDS // 2)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 2)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    fleet = place.fleet
    if _encrypts(place.url):
        assert fleet.server_public_key is not None
        assert fleet.client_public_key is not None
        assert fleet.client_secret_key is not None
        socket.curve_serverkey = fleet.server_public_key.encode()
        socket.curve_publickey = fleet.client_public_key.encode()
        socket.curve_secretkey = fleet.client_secret_key.encode()
    else:
        socket.plain_username = PLAIN_USERNAME
        socket.plain_password = plain_password(bytes.fromhex(fleet.key)).encode()
    return socket
