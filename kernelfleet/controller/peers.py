"""What the controller knows of one client at its door: numbers, credit, what to send again."""

from __future__ import annotations

from typing import Any

import zmq

from kernelfleet.wire.blocks import frame_bytes, to_frames
from kernelfleet.wire.codec import Codec
from kernelfleet.wire.pump import SocketPump
from kernelfleet.wire.sequence import Sent, Sequence

JsonDict = dict[str, Any]

#: Unacknowledged bytes under way to one client; the rest waits here until it acknowledges.
CREDIT_BYTES = 64 * 1024 * 1024


class WirePeer:
    """One client at the door: its numbers, its unacknowledged messages, its credit."""

    def __init__(self, pump: SocketPump, identity: bytes, codec: Codec) -> None:
        self.sequence = Sequence()
        self.quiet_checks = 0
        #: Whether the client's blocks can be opened here, and so ours there.
        self.shares_memory = False
        self._pump, self._identity, self._codec = pump, identity, codec
        self._sent_upto = 0
        #: Of what is not acknowledged, that which has not been sent.
        self._waiting_bytes = 0

    def take_over(self, pump: SocketPump, identity: bytes) -> None:
        """The same client over another connection."""
        self._pump, self._identity = pump, identity

    def deliver(self, head: JsonDict, buffers: list[Any]) -> None:
        """Number a message, keep it until it is acknowledged, and send it if credit allows."""
        size = sum(map(frame_bytes, buffers))
        self.sequence.number(head, buffers, size)
        self._waiting_bytes += size
        self.send_within_credit()

    def send_within_credit(self) -> None:
        """Send what has not been sent yet, as far as the credit goes; always at least one."""
        kept = self.sequence.unacknowledged
        # Not a walk over all that is kept: a client that does not read may have 100,000 there.
        while kept and kept[-1].n > self._sent_upto:
            sent = kept[max(0, self._sent_upto + 1 - kept[0].n)]
            under_way = self.sequence.unacknowledged_bytes - self._waiting_bytes
            if under_way and under_way + sent.size_bytes > CREDIT_BYTES:
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
        self.send(sent.head, sent.buffers)

    def is_connected(self) -> bool:
        """Whether its connection stands, as far as the socket knows; the client ignores this."""
        return self.send({"type": "check"}, [])

    def send(self, head: JsonDict, buffers: list[Any]) -> bool:
        """Send a message as it is, telling what we have received; False if nobody is there."""
        travelling = to_frames(buffers, shared=self.shares_memory)
        frames = self._codec.encode({**head, "ack": self.sequence.received}, travelling)
        try:
            self._pump.send([self._identity, *frames])
        except zmq.ZMQError:
            return False  # not connected now; it is sent again when the client says hello
        return True
