"""Sessions of clients, and the connections they come by.

A ``SessionConnection`` is one ZMQ connection of a client, with keys of its own
(``wire/handshake.py``). The ``ClientSession`` outlives it: it numbers messages, keeps them until
they are acknowledged, and sends them again over the client's next connection.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import Any

import zmq

from kernelfleet.controller.history import size_of
from kernelfleet.controller.limits import Limits
from kernelfleet.wire.buffers.frames import frame_bytes, to_frames
from kernelfleet.wire.chunks import (
    TCP_FRAME_BYTES,
    WINDOW_BYTES,
    Incoming,
    Outgoing,
)
from kernelfleet.wire.codec import BadMessage
from kernelfleet.wire.handshake import ConnectionCodecs
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.pump import SocketPump
from kernelfleet.wire.sequence import Sent, Sequence

#: What a message takes here beside its contents.
MESSAGE_OVERHEAD_BYTES = 500


@dataclass(eq=False, slots=True)
class SessionConnection:
    """One connection of a client; it belongs to a session once it has been opened."""

    pump: SocketPump
    identity: bytes
    client_id: str
    codecs: ConnectionCodecs
    #: The size of the largest frame that the socket of the other side takes.
    frame_bytes: int = TCP_FRAME_BYTES
    #: A message whose buffers are larger in total is dropped; None is no limit.
    most_bytes: int | None = None
    session: ClientSession | None = None
    _sender: Outgoing = field(init=False)
    _joiner: Incoming = field(init=False)

    def __post_init__(self) -> None:
        self._sender = Outgoing(self.codecs.to_client, self._transmit, self.frame_bytes)
        self._joiner = Incoming(self.most_bytes, in_blocks=True)

    @property
    def key(self) -> tuple[SocketPump, bytes]:
        """Where its messages come from."""
        return self.pump, self.identity

    def decode(self, frames: list[Any]) -> tuple[JsonDict, list[Any]] | None:
        """A message that arrived on this connection; None if it was part of a larger one.

        Raises:
            BadMessage: it is malformed, or was signed for another connection.
        """
        header, buffers = self.codecs.to_controller.decode(frames)
        if header["type"] == "more":
            with contextlib.suppress(zmq.ZMQError):
                self._sender.confirmed(header)
            return None
        if header["type"] != "part":
            return header, buffers
        whole = self._joiner.take(header, buffers)
        self.pass_by(self._joiner.confirmation)
        return None if whole is None else self.codecs.to_controller.decode(whole)

    def send(self, header: JsonDict, frames: list[Any]) -> bool:
        """Send a message, in parts if it is large; False if the connection is gone."""
        try:
            self._sender.send(header, frames)
        except zmq.ZMQError:
            return False  # it is sent again when the client has opened another connection
        return True

    def pass_by(self, header: JsonDict) -> bool:
        """Send a small message before what is on its way in parts; False as for ``send``."""
        try:
            self._sender.pass_by(header)
        except zmq.ZMQError:
            return False
        return True

    def _transmit(self, frames: list[Any]) -> None:
        self.pump.send([self.identity, *frames])


class ClientSession:
    """One client's message numbers, its unacknowledged messages and its credit."""

    def __init__(self, connection: SessionConnection, limits: Limits) -> None:
        self.id = secrets.token_hex(16)
        #: The client's own id, and the name of this session within the controller. The client
        #: numbers its requests from 1 in each session, so a reply to a request of an earlier
        #: session must not reach this one.
        self.client_id = connection.client_id
        self.name = f"{connection.client_id}/{self.id[:16]}"
        self.sequence = Sequence()
        #: How many looks in a row found no message since the last one, and how many of these no
        #: connection either.
        self.quiet_checks = self.gone_checks = 0
        #: Whether client and controller can open each other's shared memory.
        self.shares_memory = False
        #: Where messages go; and the probe connection, which answers pings while a large message
        #: occupies the first one.
        self.connection = connection
        self.probe: SessionConnection | None = None
        #: How often in a row a request was refused because earlier results had not been read.
        self.refusals = 0
        self._credit_bytes, self._unread_bytes = limits.credit_bytes, limits.unread_bytes
        self._sent_upto = 0
        #: Of what is not acknowledged, that which has not been sent.
        self._waiting_bytes = 0

    def heard(self) -> None:
        """The client has sent something."""
        self.quiet_checks = self.gone_checks = 0

    @property
    def connections(self) -> list[SessionConnection]:
        """The connections it has now."""
        return [self.connection] if self.probe is None else [self.connection, self.probe]

    def deliver(self, header: JsonDict, buffers: list[Any]) -> None:
        """Number a message, keep it until it is acknowledged, and send it if credit allows."""
        size = MESSAGE_OVERHEAD_BYTES + size_of(header) + sum(map(frame_bytes, buffers))
        self.sequence.number(header, buffers, size)
        self._waiting_bytes += size
        self.send_within_credit()

    @property
    def has_room(self) -> bool:
        """Whether results may still wait for this client to read them.

        The oldest does not count: whoever is reading something very large is reading.
        """
        limit, kept = self._unread_bytes, self.sequence.unacknowledged
        if limit is None or not kept:
            return True
        return self.sequence.unacknowledged_bytes - kept[0].size_bytes <= limit

    @property
    def is_behind(self) -> bool:
        """Whether it reads so slowly that streamed output is left out."""
        return self.sequence.unacknowledged_bytes > self._credit_bytes

    @property
    def under_way_bytes(self) -> int:
        """What was sent and not acknowledged."""
        return self.sequence.unacknowledged_bytes - self._waiting_bytes

    def send_within_credit(self) -> None:
        """Send what has not been sent yet, as far as the credit goes; always at least one."""
        kept = self.sequence.unacknowledged
        # Not a walk over all that is kept: a client that does not read may have 100,000 there.
        while kept and kept[-1].n > self._sent_upto:
            sent = kept[max(0, self._sent_upto + 1 - kept[0].n)]
            # Of the oldest, no more than the window is really under way: it travels in parts, and
            # what has nothing to do with it passes.
            under_way = self.under_way_bytes
            if under_way:
                under_way -= max(0, kept[0].size_bytes - WINDOW_BYTES)
            if under_way and under_way + sent.size_bytes > self._credit_bytes:
                return
            self._send_numbered(sent)
            self._sent_upto = sent.n
            self._waiting_bytes -= sent.size_bytes

    def resend(self, received: int) -> None:
        """The client lacks what came after ``received``."""
        self.sequence.acknowledge(received)
        self._sent_upto = min(self._sent_upto, max(received, 0))
        self._waiting_bytes = self.sequence.unacknowledged_bytes
        self.send_within_credit()

    def _send_numbered(self, sent: Sent) -> None:
        self.send(sent.header, sent.buffers)

    def send(self, header: JsonDict, buffers: list[Any]) -> None:
        """Send a message as it is, telling what we have received."""
        header = {**header, "ack": self.sequence.received}
        try:
            self.connection.send(header, to_frames(buffers, shared=self.shares_memory))
        except (OSError, BadMessage) as error:  # no memory to map a buffer, or too many outputs
            refusal = {"ename": "FleetError", "evalue": f"the answer could not be sent: {error}"}
            short: JsonDict = {
                key: header[key] for key in ("type", "n", "to", "ack") if key in header
            }
            self.connection.send({**short, "refused": refusal}, [])

    def pong(self, connection: SessionConnection) -> bool:
        """Answer a ping where it came from; False if that connection is not there any more."""
        header = {"type": "pong", "ack": self.sequence.received, "bytes": self.under_way_bytes}
        return connection.pass_by(header)

    def is_connected(self) -> bool:
        """Whether one of its connections still exists, even if the client does not read it."""
        unasked = {"type": "pong", "ack": self.sequence.received, "bytes": 0, "unasked": True}
        return any(connection.pass_by(unasked) for connection in self.connections)
