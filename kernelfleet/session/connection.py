"""One physical connection (a ZMQ DEALER) from a client to the controller, with its handshake.

It is never reused: when it breaks, the transport opens another.

ZMQ would reconnect by itself, but it would then send what was queued for the broken connection
beside what the protocol sends again; and keys are made for one connection. So each connection has a
socket of its own. Runs on the loop thread.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import zmq
from zmq.utils.monitor import parse_monitor_message

from kernelfleet.session.timing import DEAD_LINK_SECONDS, Phase
from kernelfleet.wire.chunks import (
    OVERHEAD_BYTES,
    Incoming,
    Outgoing,
    Uplink,
    frame_limit,
)
from kernelfleet.wire.codec import BadMessage, Codec
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.handshake import PLAIN_USERNAME, connection_codecs, new_nonce, plain_password
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.pump import SocketPump
from kernelfleet.wire.versions import HERE

#: Milliseconds until ZMQ would connect again by itself: long enough that it never does.
NEVER = 10**9


@dataclass(frozen=True)
class Endpoint:
    """Where a controller listens, and as which client it is asked."""

    loop: asyncio.AbstractEventLoop
    context: zmq.Context[Any]
    fleet: FleetFile
    url: str
    client_id: str
    #: What its connections share with those of others.
    uplink: Uplink | None = None


class ConnectionUser(Protocol):
    """Who is called with what happens on a connection, until it closes the connection."""

    def connection_progressed(self, connection: Connection, phase: Phase) -> None:
        """The connection is ``connected``, or ``greeted``."""

    def connection_ready(self, connection: Connection) -> None:
        """The connection has its keys: the session can be opened on it."""

    def connection_received(
        self, connection: Connection, header: JsonDict, buffers: list[Any]
    ) -> None:
        """A message that was signed for this connection has come."""

    def connection_alive(self, connection: Connection) -> None:
        """A part of a message has come, or the confirmation that a part of ours has arrived."""

    def connection_doubted(self, connection: Connection, reason: str) -> None:
        """Whoever listens may be no controller of this fleet, or the network is bad."""

    def connection_refused(self, connection: Connection, reason: str) -> None:
        """Whoever listens refuses this client."""

    def connection_broken(self, connection: Connection) -> None:
        """The connection has ended, or never came to be."""


class Connection:
    """A connection to a controller, made at once; ``user`` is called with what happens."""

    def __init__(self, endpoint: Endpoint, user: ConnectionUser) -> None:
        self._endpoint, self._user = endpoint, user
        self._key = bytes.fromhex(endpoint.fleet.key)
        self._nonce = new_nonce()
        #: They use the fleet's key until the challenge has come, then keys of this connection.
        self._outgoing = self._incoming = Codec(self._key)
        self._sender: Outgoing | None = None
        self._joiner = Incoming()
        #: Whether it has its keys.
        self.is_ready = False
        socket = _socket(endpoint)
        monitor = socket.get_monitor_socket()
        self._monitor = SocketPump(endpoint.loop, monitor, self._on_monitor, copy=True)
        self._pump = SocketPump(endpoint.loop, socket, self._on_frames)
        socket.connect(endpoint.url)
        hello = {"type": "hello", "version": HERE.protocol, "kernelfleet": HERE.kernelfleet}
        self.send({**hello, "client": endpoint.client_id, "nonce": self._nonce}, [])

    def send(self, header: JsonDict, frames: list[Any]) -> None:
        """Send a message; those that belong behind a large one wait until it has gone out."""
        if self._sender is None:
            self._pump.send(self._outgoing.encode(header, frames))
        elif header["type"] in _OUT_OF_BAND:
            self._sender.pass_by(header)
        else:
            self._sender.send(header, frames)

    def close(self, linger: float = 0.0) -> None:
        """End the connection; the user is not called any more. Safe to call twice."""
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
            self._user.connection_doubted(self, reason)
            return
        if self.is_ready:
            self._user.connection_received(self, header, buffers)
        elif header["type"] == "refused":
            self._user.connection_refused(self, str(header.get("reason")))
        elif header["type"] == "challenge" and header.get("nonce") == self._nonce:
            codecs = connection_codecs(
                self._key, self._endpoint.client_id, self._nonce, str(header.get("challenge"))
            )
            self._outgoing, self._incoming = codecs.to_controller, codecs.to_client
            limit = frame_limit(self._endpoint.url)
            uplink = self._endpoint.uplink
            self._sender = Outgoing(codecs.to_controller, self._pump.send, limit, uplink)
            self.is_ready = True
            self._user.connection_ready(self)

    def _on_part(self, sender: Outgoing, header: JsonDict, pieces: list[Any]) -> None:
        if header["type"] == "more":
            sender.confirmed(header)
            self._user.connection_alive(self)
            return
        whole = self._joiner.take(header, pieces)
        sender.pass_by(self._joiner.confirmation)
        if whole is None:
            self._user.connection_alive(self)
        else:
            self._user.connection_received(self, *self._incoming.decode(whole))

    def _on_monitor(self, frames: list[Any]) -> None:
        event = parse_monitor_message(frames)["event"]
        if event == zmq.EVENT_CONNECTED:
            self._user.connection_progressed(self, "connected")
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._user.connection_progressed(self, "greeted")
        elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            self._user.connection_doubted(self, _CLOSED_IN_HANDSHAKE)
            self._user.connection_broken(self)
        elif event in _REFUSALS:
            self._user.connection_refused(self, _REFUSALS[event])
        elif event in (zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED):
            self._pump.drain()  # deliver what arrived before the end
            if not self._pump.is_closed:
                self._user.connection_broken(self)


#: Messages about other messages, and the goodbye, do not wait behind a large message. Pings do: the
#: answer to a ping says which of the messages sent before it have arrived.
_OUT_OF_BAND = frozenset({"ack", "resend", "bye"})
#: A connection that is cut during its handshake looks the same, so one alone is no proof.
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


def _socket(endpoint: Endpoint) -> zmq.Socket[Any]:
    socket: zmq.Socket[Any] = endpoint.context.socket(zmq.DEALER)
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = 0
    # Not -1: ZMQ (4.3.5) would then drop what had arrived before the end and was not read yet.
    socket.setsockopt(zmq.RECONNECT_IVL, NEVER)
    # Whoever listens there may be an impostor: libzmq holds a whole frame before it looks at keys.
    socket.setsockopt(zmq.MAXMSGSIZE, frame_limit(endpoint.url) + OVERHEAD_BYTES)
    # The system's keepalive, which a stopped or busy controller answers too. Not ZMQ's heartbeat:
    # its answer waits behind a large message, which a slow network could then never deliver.
    socket.setsockopt(zmq.TCP_MAXRT, DEAD_LINK_SECONDS * 1000)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, DEAD_LINK_SECONDS // 2)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 2)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    fleet = endpoint.fleet
    if _encrypts(endpoint.url):
        socket.ipv6 = "[" in endpoint.url
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
