"""How a client's messages reach a controller: in memory, or over a socket.

A transport numbers, sends and closes, and calls its receiver with what arrives; the receiver cannot
tell which kind of transport it has. All of it runs on the loop thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from kernelfleet.session.connection import Connection, Endpoint
from kernelfleet.session.reachability import Action, Reachability
from kernelfleet.session.timing import (
    IDLE_PING_SECONDS,
    RECONNECT_TIMEOUT,
    TICK_SECONDS,
    Phase,
    SessionTimes,
)
from kernelfleet.wire.buffers.frames import frame_bytes, from_frames, to_frames
from kernelfleet.wire.buffers.shared_memory import LostSharedBuffer, Probe
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.sequence import Sequence

#: What is reported when nobody answers.
NOBODY = "nobody listens there"
SILENT = "who listens there does not answer: it is stopped, or the key is wrong"
CLOSED = "the connection was closed"
FORGOTTEN = "the controller had not heard of this client for so long that it forgot it"

#: Failed or suspicious handshakes in a row after which a client gives up its first connect.
MAX_DOUBTS = 3
#: What has been received is acknowledged with the next message that is sent; without one after so
#: many messages, or so many bytes of live output. Replies with data are acknowledged at once.
ACKNOWLEDGE_EVERY = 64
ACKNOWLEDGE_BYTES = 256 * 1024


class Receiver(Protocol):
    """Who gets the messages that arrive."""

    def receive(self, header: JsonDict, buffers: list[Any]) -> None:
        """One message, in order, once."""

    def away(self, reason: str) -> None:
        """The controller does not answer, or has forgotten this client.

        What was asked stays unanswered. The next message that arrives then is a welcome.
        """

    def lost(self, reason: str) -> None:
        """The controller is gone for good; nothing more will arrive."""

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is awaited."""


class LocalController(Protocol):
    """A controller in this process."""

    def connect(self, client_id: str, peer: EmbeddedTransport) -> JsonDict:
        """Take a new client; returns its welcome."""

    def handle(self, client_id: str, header: JsonDict, buffers: list[Any]) -> None:
        """Take a message of a client."""

    def disconnect(self, client_id: str) -> None:
        """Forget a client."""


class Transport(Protocol):
    """What a ``ControllerProxy`` needs of the way to its controller."""

    def number(self, header: JsonDict, buffers: list[Any]) -> JsonDict:
        """Take a message for sending; returns it with its number in the field ``n``.

        The caller can then note who waits for the reply, and calls ``send`` right away.
        """

    def send(self, numbered: JsonDict, buffers: list[Any]) -> None:
        """Send a message that has its number; never blocks."""

    def close(self) -> None:
        """Leave; safe to call twice."""


class EmbeddedTransport:
    """Hands messages over in memory: client and controller share the loop thread."""

    #: To the controller this client is never slow: what is delivered has been read.
    has_room, is_behind = True, False

    def __init__(self, controller: LocalController, client_id: str, receiver: Receiver) -> None:
        self._controller = controller
        self._client_id = client_id
        self._receiver = receiver
        self._last_number = 0
        self._closed = False
        receiver.receive(controller.connect(client_id, self), [])

    def number(self, header: JsonDict, buffers: list[Any]) -> JsonDict:
        """Give a message its number."""
        del buffers
        self._last_number += 1
        return {**header, "n": self._last_number}

    def send(self, numbered: JsonDict, buffers: list[Any]) -> None:
        """Hand a message to the controller."""
        if not self._closed:
            self._controller.handle(self._client_id, numbered, buffers)

    def deliver(self, header: JsonDict, buffers: list[Any]) -> None:
        """Take a message; the controller calls this."""
        if not self._closed:
            self._receiver.receive(header, buffers)

    def close(self) -> None:
        """Leave the controller."""
        if not self._closed:
            self._closed = True
            self._controller.disconnect(self._client_id)


class SocketTransport:
    """A session with a daemon over its Unix socket or TCP: messages have numbers, and are resent.

    It has one connection at a time, and replaces it when it breaks or falls silent.

    Args:
        endpoint: Where the daemon listens, and as which client it is asked.
        receiver: Who gets the messages that arrive.
        successor: Called now and then while nobody answers; returns why this controller will
            never come back, or None while it may.
        times: How patient it is; None is as suits a person's client.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        receiver: Receiver,
        successor: Callable[[], str | None] = lambda: None,
        times: SessionTimes | None = None,
    ) -> None:
        self._endpoint, self._receiver, self._successor = endpoint, receiver, successor
        self._sequence = Sequence()
        self._times = times or SessionTimes(RECONNECT_TIMEOUT, IDLE_PING_SECONDS)
        self._reach = Reachability(times)
        self._memory_probe = Probe()
        #: Whether the controller can open our shared memory: it tells with its welcome.
        self._shares_memory = False
        self._closed = False
        self._not_acknowledged = self._unacknowledged_bytes = 0
        self._incoming_bytes = 0  # on their way to this client, as the controller last said
        #: For each ping without an answer, the number of the last message sent before it.
        self._pinged: deque[int] = deque()
        self._trouble = NOBODY
        self._doubts = 0
        self._session: str | None = None
        self._instance: str | None = None
        self._probe_connection: Connection | None = None
        self._connection = self._reopen()
        self._timer = endpoint.loop.call_later(TICK_SECONDS, self._tick)

    def number(self, header: JsonDict, buffers: list[Any]) -> JsonDict:
        """Give a message its number and keep it, to be sent again should the connection break."""
        return self._sequence.number(header, buffers, sum(map(frame_bytes, buffers)))

    def send(self, numbered: JsonDict, buffers: list[Any]) -> None:
        """Send a message, now or with what is sent again when there is a connection."""
        if self._reach.phase == "open" and not self._closed:
            self._send(numbered, buffers)

    def _send(self, header: JsonDict, buffers: list[Any]) -> None:
        self._not_acknowledged = self._unacknowledged_bytes = 0
        frames = to_frames(buffers, shared=self._shares_memory)
        self._connection.send({**header, "ack": self._sequence.received}, frames)

    # -- connections ----------------------------------------------------------------------------

    def _reopen(self) -> Connection:
        self._connection = Connection(self._endpoint, self)
        self._pinged.clear()
        self._reach.made()
        return self._connection

    def connection_progressed(self, connection: Connection, phase: Phase) -> None:
        """Note that somebody listens, or speaks our protocol."""
        if connection is self._connection:
            self._reach.progressed(phase)
            self._trouble = SILENT

    def connection_ready(self, connection: Connection) -> None:
        """Open the session on it: the one there is, or a new one."""
        opening = {"type": "open", "session": self._session, "ack": self._sequence.received}
        if connection is self._probe_connection:
            connection.send({**opening, "side": True}, [])
        else:
            connection.send({**opening, **self._memory_probe.fields()}, [])

    def connection_alive(self, connection: Connection) -> None:
        """Note that the controller sends or takes parts of a large message."""
        if connection is self._connection and self._reach.phase == "open":
            self._reach.heard()

    def connection_doubted(self, connection: Connection, reason: str) -> None:
        """Note the reason for when the session is given up: soon, if no connect ever succeeded."""
        del connection
        self._trouble = reason
        self._doubts += 1

    def connection_refused(self, connection: Connection, reason: str) -> None:
        """Give up a first connect; later a refusal may be the network's doing, and is retried."""
        self._trouble = reason
        if self._reach.state == "connecting":
            self._give_up(reason)
        else:
            self.connection_broken(connection)

    def connection_broken(self, connection: Connection) -> None:
        """Replace the connection, now or after a pause."""
        connection.close()
        if connection is self._probe_connection:
            self._probe_connection = None
        elif connection is self._connection and self._reach.phase != "none":
            if self._reach.phase in ("open", "made"):
                self._trouble = CLOSED if self._reach.phase == "open" else NOBODY
            if self._reach.broken():
                self._reopen()
            elif self._doubts >= MAX_DOUBTS and self._reach.state == "connecting":
                self._give_up(self._trouble)

    def connection_received(
        self, connection: Connection, header: JsonDict, buffers: list[Any]
    ) -> None:
        """Deal with a message of the controller."""
        kind = header["type"]
        if kind == "forgotten":
            self._trouble = FORGOTTEN
            self._renew()
            return
        if connection is self._probe_connection:
            self._reach.heard_on_probe()
            self._incoming_bytes = header.get("bytes", 0)
            return
        if kind == "welcome":
            self._on_welcome(header)
            return
        self._reach.heard()
        if kind == "pong" and header.get("unasked"):
            return  # the controller has looked whether this connection still exists
        if kind == "pong":
            self._incoming_bytes = header.get("bytes", 0)
            # What was sent after the ping may still be on its way, and is not sent again.
            self._resend(header["ack"], self._pinged.popleft() if self._pinged else 0)
        else:
            self._on_message(header, buffers)

    # -- messages -------------------------------------------------------------------------------

    def _on_message(self, header: JsonDict, buffers: list[Any]) -> None:
        verdict = self._sequence.accept(header)
        if verdict == "gap":
            self._send({"type": "resend"}, [])
        elif verdict == "deliver":
            self._not_acknowledged += 1
            self._unacknowledged_bytes += sum(map(frame_bytes, buffers))
            opened = _opened(header, buffers)
            is_answer = bool(buffers) and header["type"] != "event"
            if (
                is_answer
                or self._not_acknowledged >= ACKNOWLEDGE_EVERY
                or self._unacknowledged_bytes >= ACKNOWLEDGE_BYTES
            ):
                self._send({"type": "ack"}, [])
            self._receiver.receive(*opened)
            if header["type"] == "event" and header.get("event") == "stopped":
                self._give_up("the fleet was stopped")

    def _on_welcome(self, header: JsonDict) -> None:
        if self._instance is not None and header["instance"] != self._instance:
            self._give_up("the controller was restarted, and knows nothing of this client")
            return
        was_up, is_new = self._reach.state == "up", header["session"] != self._session
        if is_new and self._session is not None:
            # The controller has forgotten this client, so numbering starts again.
            self._sequence = Sequence()
            self._receiver.away(FORGOTTEN)
        self._instance, self._session = header["instance"], header["session"]
        self._shares_memory = bool(header.get("shares_memory"))
        self._reach.welcomed()
        if is_new or not was_up:
            self._receiver.receive(header, [])
        self._resend(header["ack"], self._sequence.last_sent)

    def _resend(self, received: int, upto: int) -> None:
        """Send again the messages up to a number that the controller has not received."""
        self._sequence.acknowledge(received)
        for sent in list(self._sequence.unacknowledged):
            if sent.n <= upto:
                self._send(sent.header, sent.buffers)

    # -- time -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._closed:
            return
        self._timer = self._endpoint.loop.call_later(TICK_SECONDS, self._tick)
        asked = self._receiver.is_waiting or bool(self._sequence.unacknowledged)
        in_flight = self._sequence.unacknowledged_bytes + self._incoming_bytes
        for action in self._reach.tick(asked=asked, in_flight_bytes=in_flight):
            self._do(action)

    def _do(self, action: Action) -> None:
        if self._closed:
            return
        if action == "ping":
            self._pinged.append(self._sequence.last_sent)
            self._send({"type": "ping"}, [])
        elif action == "probe":
            self._ping_over_probe()
        elif action == "close probe":
            self._close_probe()
        elif action == "give up":
            self._give_up(self._trouble)
        elif action == "away":
            self._go_away()
        elif (reason := self._why_never()) is not None:
            self._give_up(reason)
        else:
            self._connection.close()
            self._reopen()

    def _renew(self) -> None:
        self._close_probe()
        self._connection.close()
        self._reopen()

    def _ping_over_probe(self) -> None:
        if self._probe_connection is None:
            self._probe_connection = Connection(self._endpoint, self)
        elif self._probe_connection.is_ready:
            self._probe_connection.send({"type": "ping", "ack": self._sequence.received}, [])

    def _close_probe(self) -> None:
        if self._probe_connection is not None:
            self._probe_connection.close()
            self._probe_connection = None

    def _go_away(self) -> None:
        """Report that nobody answers, and take back what was sent; connecting goes on."""
        is_open = self._reach.phase == "open"
        reason = f"no answer for {self._times.timeout:g} s" if is_open else self._trouble
        self._sequence.take_back()
        self._receiver.away(reason)

    def _why_never(self) -> str | None:
        return self._successor() if self._reach.state == "away" else None

    # -- the end --------------------------------------------------------------------------------

    def _give_up(self, reason: str) -> None:
        if not self._closed:
            self._close_connections()
            self._receiver.lost(reason)

    def close(self) -> None:
        """Say goodbye and leave."""
        if not self._closed:
            if self._reach.phase == "open":
                self._send({"type": "bye"}, [])
            self._close_connections(linger=0.2)

    def _close_connections(self, linger: float = 0.0) -> None:
        self._closed = True
        self._reach.lost()
        self._timer.cancel()
        self._close_probe()
        self._connection.close(linger)
        # The client may live on in a variable; its descriptors must not.
        self._memory_probe.buffer = None
        self._sequence = Sequence()


def _opened(header: JsonDict, buffers: list[Any]) -> tuple[JsonDict, list[Any]]:
    """A message with its shared buffers opened: once it is acknowledged, they may be dropped."""
    try:
        return header, from_frames(buffers)
    except LostSharedBuffer as error:
        return {**header, "refused": {"ename": "FleetError", "evalue": str(error)}}, []
