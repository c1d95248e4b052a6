"""Exactly once, in order: numbers, acknowledgement and resending for one peer.

ZMQ keeps order within a connection and loses what was under way when one breaks. Both ends of
the client protocol therefore keep one ``Sequence`` per peer: a numbered message stays in
``unacknowledged`` until the peer says it has it, is sent again after a reconnect, and is
delivered once however often it arrives. One that is marked ``free`` has nothing to do with what
it has passed on its way (``lanes.py``), and is delivered when it comes. ``take_back``
replaces the messages that are not acknowledged by ``void`` messages of the same numbers: one that
has arrived already still takes effect, the others never will.

Pure: no sockets, no clock. ``n`` is the number of a message (from 1), ``ack`` the number up to
which the sender has received everything. Messages without ``n`` (hello, ping, ...) pass through.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from kernelfleet.wire.messages import JsonDict

Verdict = Literal["deliver", "duplicate", "gap"]


#: Messages that may come before one that is late; more are asked for again.
MAX_EARLY = 100_000


@dataclass(slots=True)
class Sent:
    """A numbered message the peer has not acknowledged."""

    n: int
    header: JsonDict
    buffers: list[Any]
    size_bytes: int


@dataclass(slots=True)
class Sequence:
    """The numbering of both directions between us and one peer."""

    last_sent: int = 0
    received: int = 0
    #: Of what came before its turn as it was ``free`` to, the numbers beyond ``received``.
    early: set[int] = field(default_factory=set)
    unacknowledged: deque[Sent] = field(default_factory=deque)
    unacknowledged_bytes: int = 0

    def number(self, header: JsonDict, buffers: list[Any], size_bytes: int) -> JsonDict:
        """Give a message its number and keep it until it is acknowledged."""
        self.last_sent += 1
        header = {**header, "n": self.last_sent}
        self.unacknowledged.append(Sent(self.last_sent, header, buffers, size_bytes))
        self.unacknowledged_bytes += size_bytes
        return header

    def accept(self, header: JsonDict) -> Verdict:
        """Decide what to do with a message that has arrived, and note its numbers."""
        self.acknowledge(int(header.get("ack", 0)))
        n = header.get("n")
        if n is None:
            return "deliver"
        if n <= self.received or n in self.early:
            return "duplicate"
        if n > self.received + 1:
            if header.get("free") is not True or len(self.early) >= MAX_EARLY:
                return "gap"
            self.early.add(n)
            return "deliver"
        self.received = n
        while self.received + 1 in self.early:
            self.received += 1
            self.early.remove(self.received)
        return "deliver"

    def acknowledge(self, upto: int) -> None:
        """Forget what the peer has received."""
        while self.unacknowledged and self.unacknowledged[0].n <= upto:
            self.unacknowledged_bytes -= self.unacknowledged.popleft().size_bytes

    def take_back(self) -> None:
        """Replace what is not acknowledged by void messages: what has not arrived never will."""
        self.unacknowledged = deque(
            Sent(sent.n, {"type": "void", "n": sent.n}, [], 0) for sent in self.unacknowledged
        )
        self.unacknowledged_bytes = 0
