"""A client at the door: the lines it has opened, and the session they belong to.

A ``SessionConnection`` is one connection, with keys of its own (``wire/handshake.py``); a
``ClientSession`` is the
session that outlives it: numbers, credit, and what to send again over the next line.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import Any

import zmq

from kernelfleet.controller.history import size_of
from kernelfleet.controller.limits import Limits
from kernelfleet.wire.chunks import (
    TCP_FRAME_BYTES,
    WINDOW_BYTES,
    Incoming,
    Outgoing,
)
from kernelfleet.wire.codec import BadMessage
from kernelfleet.wire.handshake import ConnectionCodecs
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.shared_memory import (
    frame_bytes,
    to_frames,
)
from kernelfleet.wire.pump import SocketPump
from kernelfleet.wire.sequence import Sent, Sequence

#: What a message takes here beside its contents.
MESSAGE_OVERHEAD_BYTES = 500


@dataclass(eq=False, slots=True)
class SessionConnection:
    """One connection of a client. It is nobody's until it has been opened."""

    pump: SocketPump
    identity: bytes
    client_id: str
    codecs: ConnectionCodecs
    #: The size of the largest frame that the socket of the other side takes.
    frame_bytes: int = TCP_FRAME_BYTES
    #: Buffers of a message that are larger in all are not kept; None keeps any.
    most_bytes: int | None = None
    peer: ClientSession | None = None
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
        """A message that arrived on this line; None if it was a part of one, or word of one.

        Raises:
            BadMessage: it is none, or was signed for another line.
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
        """Send a message, in parts if it is large; False if the connection has gone."""
        try:
            self._sender.send(header, frames)
        except zmq.ZMQError:
            return False  # it is sent again when the client has opened another line
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
    """A session: one client's numbers, its unacknowledged messages, its credit."""

    def __init__(self, line: SessionConnection, limits: Limits) -> None:
        self.session = secrets.token_hex(16)
        #: Who it is, and what the controller calls this session: replies to an earlier one of the
        #: client, which has numbered its requests alike, must not come to this one.
        self.client_id = line.client_id
        self.name = f"{line.client_id}/{self.session[:16]}"
        self.sequence = Sequence()
        self.quiet_checks = 0
        #: Whether the client's blocks can be opened here, and so ours there.
        self.shares_memory = False
        #: Where messages go; and a second one, for pings beside large messages.
        self.line = line
        self.side: SessionConnection | None = None
        #: How often in a row a request was refused because earlier results had not been read.
        self.refusals = 0
        self._credit_bytes, self._unread_bytes = limits.credit_bytes, limits.unread_bytes
        self._sent_upto = 0
        #: Of what is not acknowledged, that which has not been sent.
        self._waiting_bytes = 0

    @property
    def lines(self) -> list[SessionConnection]:
        """All it has."""
        return [self.line] if self.side is None else [self.line, self.side]

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
            self.line.send(header, to_frames(buffers, shared=self.shares_memory))
        except (OSError, BadMessage) as error:  # no memory to map a block, or outputs without end
            refusal = {"ename": "FleetError", "evalue": f"the answer could not be sent: {error}"}
            short: JsonDict = {
                key: header[key] for key in ("type", "n", "to", "ack") if key in header
            }
            self.line.send({**short, "refused": refusal}, [])

    def pong(self, line: SessionConnection) -> bool:
        """Answer a ping where it came from; False if that connection is not there any more."""
        header = {"type": "pong", "ack": self.sequence.received, "bytes": self.under_way_bytes}
        return line.pass_by(header)

    def is_connected(self) -> bool:
        """Whether one of its lines has a connection, be it one that nobody reads from."""
        return any(map(self.pong, self.lines))
