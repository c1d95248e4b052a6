"""How a client's messages reach a controller: in memory, or over a socket.

A transport has ``send`` and ``close`` and calls back with what arrives; the connection above it
cannot tell which one it has. All of it runs on the loop thread.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import zmq
from zmq.utils.monitor import parse_monitor_message

from kernelfleet.wire.blocks import LostBlock, Probe, frame_bytes, from_frames, to_frames
from kernelfleet.wire.codec import BadMessage, Codec
from kernelfleet.wire.connection import PROTOCOL_VERSION, FleetFile
from kernelfleet.wire.pump import SocketPump
from kernelfleet.wire.sequence import Sequence

JsonDict = dict[str, Any]

#: Silence of a controller that has been asked something, until it counts as gone.
RECONNECT_TIMEOUT = 2.5
#: How often it is asked while something is awaited; and while nothing is.
PING_SECONDS = 0.25
IDLE_PING_TICKS = 20
#: Messages received without sending any, after which we acknowledge; those with data at once.
ACKNOWLEDGE_EVERY = 64


class Receiver(Protocol):
    """Who gets what arrives."""

    def receive(self, head: JsonDict, buffers: list[Any]) -> None:
        """One message, in order, once."""

    def lost(self, reason: str) -> None:
        """The controller is gone; nothing more will arrive."""

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is awaited."""


class LocalController(Protocol):
    """A controller in this process."""

    def connect(self, client_id: str, peer: EmbeddedTransport) -> JsonDict:
        """A client has come; returns its welcome."""

    def handle(self, client_id: str, head: JsonDict, buffers: list[Any]) -> None:
        """A message of a client."""

    def disconnect(self, client_id: str) -> None:
        """A client has left."""


class Transport(Protocol):
    """What a connection needs."""

    def send(self, head: JsonDict, buffers: list[Any]) -> None:
        """Send one message; never blocks. The number it gets is in ``sent``."""

    @property
    def sent(self) -> int:
        """The number of the message sent last."""

    def close(self) -> None:
        """Leave; safe to call twice."""


class EmbeddedTransport:
    """Hands the same messages over in memory: client and controller share the loop thread."""

    def __init__(self, controller: LocalController, client_id: str, receiver: Receiver) -> None:
        self._controller = controller
        self._client_id = client_id
        self._receiver = receiver
        self.sent = 0
        self._closed = False
        receiver.receive(controller.connect(client_id, self), [])

    def send(self, head: JsonDict, buffers: list[Any]) -> None:
        """Hand a message to the controller."""
        self.sent += 1
        if self._closed:
            return
        self._controller.handle(self._client_id, {**head, "n": self.sent}, buffers)

    def deliver(self, head: JsonDict, buffers: list[Any]) -> None:
        """What the controller calls."""
        if not self._closed:
            self._receiver.receive(head, buffers)

    def close(self) -> None:
        """Leave the controller."""
        if not self._closed:
            self._closed = True
            self._controller.disconnect(self._client_id)


class SocketTransport:
    """A DEALER to a daemon over its Unix socket or TCP, with numbers, resending and pings."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: zmq.Context[Any],
        fleet: FleetFile,
        url: str,
        client_id: str,
        receiver: Receiver,
    ) -> None:
        self._loop, self._receiver, self._client_id = loop, receiver, client_id
        self._codec = Codec(bytes.fromhex(fleet.key))
        self._sequence = Sequence()
        self._probe = Probe()
        self._welcomed = False
        self._closed = False
        self._quiet_ticks = self._idle_ticks = self._not_acknowledged = 0
        self._trouble = "nobody listens there, or the key is wrong"
        self.boot: str | None = None
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = 0
        socket.setsockopt(zmq.ROUTING_ID, client_id.encode())
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        if url.startswith("tcp:"):
            assert fleet.server_public_key is not None
            assert fleet.client_public_key is not None
            assert fleet.client_secret_key is not None
            socket.curve_serverkey = fleet.server_public_key.encode()
            socket.curve_publickey = fleet.client_public_key.encode()
            socket.curve_secretkey = fleet.client_secret_key.encode()
        self._monitor = SocketPump(loop, socket.get_monitor_socket(), self._on_monitor, copy=True)
        self._pump = SocketPump(loop, socket, self._on_frames)
        socket.connect(url)
        self._hello()
        self._timer = loop.call_later(PING_SECONDS, self._tick)

    @property
    def sent(self) -> int:
        """The number of the message sent last."""
        return self._sequence.last_sent

    def send(self, head: JsonDict, buffers: list[Any]) -> None:
        """Number a message and send it; it is sent again should the connection break."""
        if self._closed:
            return
        size = sum(map(frame_bytes, buffers))
        head = self._sequence.number(head, buffers, size)
        if self._welcomed:
            self._send(head, buffers)

    def _send(self, head: JsonDict, buffers: list[Any]) -> None:
        self._not_acknowledged = 0
        frames = to_frames(buffers, shared=True)  # there are blocks only if the probe succeeded
        self._pump.send(self._codec.encode({**head, "ack": self._sequence.received}, frames))

    def _hello(self) -> None:
        hello = {"type": "hello", "version": PROTOCOL_VERSION, **self._probe.fields()}
        self._send(hello, [])

    def _on_frames(self, frames: list[Any]) -> None:
        try:
            head, buffers = self._codec.decode(frames)
        except BadMessage as error:
            self._trouble = f"what answers there is signed with another key ({error})"
            return
        self._quiet_ticks = 0
        kind = head["type"]
        if kind == "refused":
            self._give_up(head["reason"])
        elif kind == "welcome":
            self._on_welcome(head)
        elif kind == "pong":
            self._sequence.acknowledge(head["ack"])
            self._resend(head["ack"])
        else:
            verdict = self._sequence.accept(head)
            if verdict == "gap":
                self._send({"type": "resend"}, [])
            elif verdict == "deliver":
                self._not_acknowledged += 1
                if buffers or self._not_acknowledged >= ACKNOWLEDGE_EVERY:
                    self._send({"type": "ack"}, [])
                self._receiver.receive(*_opened(head, buffers))

    def _on_welcome(self, head: JsonDict) -> None:
        if self.boot is not None and head["boot"] != self.boot:
            self._give_up("the controller was restarted, and knows nothing of this client")
            return
        self.boot = head["boot"]
        first, self._welcomed = not self._welcomed, True
        if first:
            self._receiver.receive(head, [])
        self._resend(head.get("ack", 0))

    def _resend(self, received: int) -> None:
        """Send again what the controller has not got."""
        if self._welcomed:
            for sent in self._sequence.since(received):
                self._send(sent.head, sent.buffers)

    def _on_monitor(self, frames: list[Any]) -> None:
        event = parse_monitor_message(frames)["event"]
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._give_up("it refuses the client key: is the connection file that of this fleet?")
        elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            self._give_up(
                "it has another server key, or is no kernelfleet controller: is the connection "
                "file that of this fleet?"
            )
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            self._give_up("what listens there is no kernelfleet controller (no CURVE)")
        elif event == zmq.EVENT_DISCONNECTED:
            self._trouble = "the connection was closed"
        elif event == zmq.EVENT_CONNECTED and self._welcomed:
            self._hello()

    def _tick(self) -> None:
        """Once per PING_SECONDS of the loop's own time: a stalled loop declares nobody dead."""
        if self._closed:
            return
        self._timer = self._loop.call_later(PING_SECONDS, self._tick)
        self._idle_ticks += 1
        asked = self._receiver.is_waiting or not self._welcomed
        if not asked and self._idle_ticks % IDLE_PING_TICKS:
            return
        self._quiet_ticks += 1
        if self._quiet_ticks * PING_SECONDS >= RECONNECT_TIMEOUT and asked:
            self._give_up(
                self._trouble if not self._welcomed else f"no answer for {RECONNECT_TIMEOUT} s"
            )
            return
        if self._welcomed:
            self._send({"type": "ping"}, [])

    def _give_up(self, reason: str) -> None:
        if not self._closed:
            self._close_sockets()
            self._receiver.lost(reason)

    def close(self) -> None:
        """Say goodbye and leave."""
        if not self._closed:
            self._send({"type": "bye"}, [])
            self._close_sockets(linger=0.2)

    def _close_sockets(self, linger: float = 0.0) -> None:
        self._closed = True
        self._timer.cancel()
        self._pump.socket.disable_monitor()
        self._monitor.close()
        self._pump.close(linger)
        # The client may live on in a variable; its descriptors must not.
        self._probe.block = None
        self._sequence.unacknowledged.clear()


def _opened(head: JsonDict, buffers: list[Any]) -> tuple[JsonDict, list[Any]]:
    """A message with its blocks opened, before its receipt lets the controller drop them."""
    try:
        return head, from_frames(buffers)
    except LostBlock as error:
        return {**head, "refused": {"ename": "FleetError", "evalue": str(error)}}, []
