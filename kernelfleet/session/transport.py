"""How a client's messages reach a controller: in memory, or over a socket.

A transport has ``send`` and ``close`` and calls back with what arrives; the connection above it
cannot tell which one it has. All of it runs on the loop thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from kernelfleet.session.connection import Connection, Endpoint
from kernelfleet.session.reachability import (
    RECONNECT_TIMEOUT,
    TICK_SECONDS,
    Action,
    Phase,
    Reachability,
)
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.shared_memory import (
    LostSharedBuffer,
    Probe,
    frame_bytes,
    from_frames,
    to_frames,
)
from kernelfleet.wire.sequence import Sequence

#: Why nobody answers.
NOBODY = "nobody listens there"
SILENT = "who listens there does not answer: it is stopped, or the key is wrong"
CLOSED = "the connection was closed"
FORGOTTEN = "the controller had not heard of this client for so long that it forgot it"

#: Lines that may end in doubt about who is there until a client that connects gives up.
MAX_DOUBTS = 3
#: Messages received without sending any, and bytes of live output, after which we acknowledge;
#: answers with data at once.
ACKNOWLEDGE_EVERY = 64
ACKNOWLEDGE_BYTES = 256 * 1024


class Receiver(Protocol):
    """Who gets what arrives."""

    def receive(self, header: JsonDict, buffers: list[Any]) -> None:
        """One message, in order, once."""

    def away(self, reason: str) -> None:
        """Nobody answers, or we were forgotten: what was asked stays unanswered.

        A welcome tells that there is somebody again.
        """

    def lost(self, reason: str) -> None:
        """The controller is gone for good; nothing more will arrive."""

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is awaited."""


class LocalController(Protocol):
    """A controller in this process."""

    def connect(self, client_id: str, peer: EmbeddedTransport) -> JsonDict:
        """A client has come; returns its welcome."""

    def handle(self, client_id: str, header: JsonDict, buffers: list[Any]) -> None:
        """A message of a client."""

    def disconnect(self, client_id: str) -> None:
        """A client has left."""


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
    """Hands the same messages over in memory: client and controller share the loop thread."""

    #: What is delivered has been read.
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
        """What the controller calls."""
        if not self._closed:
            self._receiver.receive(header, buffers)

    def close(self) -> None:
        """Leave the controller."""
        if not self._closed:
            self._closed = True
            self._controller.disconnect(self._client_id)


class SocketTransport:
    """A session with a daemon over its Unix socket or TCP: numbers, resending, one line at a time.

    Args:
        place: Where the daemon is, and who we are.
        receiver: Who gets what arrives.
        successor: Asked now and then while nobody answers: why this controller will never come
            back, or None.
    """

    def __init__(
        self,
        place: Endpoint,
        receiver: Receiver,
        successor: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._place, self._receiver, self._successor = place, receiver, successor
        self._sequence = Sequence()
        self._reach = Reachability()
        self._probe = Probe()
        self._closed = False
        self._not_acknowledged = self._unacknowledged_bytes = 0
        self._under_way_bytes = 0  # towards us, as the controller last said
        #: The number of the message sent last before each ping that has no answer yet.
        self._pinged: deque[int] = deque()
        self._trouble = NOBODY
        self._doubts = 0
        self._session: str | None = None
        self._instance: str | None = None
        self._side: Connection | None = None
        self._line = self._reopen()
        self._timer = place.loop.call_later(TICK_SECONDS, self._tick)

    def number(self, header: JsonDict, buffers: list[Any]) -> JsonDict:
        """Give a message its number and keep it, to be sent again should the connection break."""
        return self._sequence.number(header, buffers, sum(map(frame_bytes, buffers)))

    def send(self, numbered: JsonDict, buffers: list[Any]) -> None:
        """Send a message, now or with what is sent again when there is a connection."""
        if self._reach.phase == "open" and not self._closed:
            self._send(numbered, buffers)

    def _send(self, header: JsonDict, buffers: list[Any]) -> None:
        self._not_acknowledged = self._unacknowledged_bytes = 0
        frames = to_frames(buffers, shared=True)  # there are blocks only if the probe succeeded
        self._line.send({**header, "ack": self._sequence.received}, frames)

    # -- lines ----------------------------------------------------------------------------------

    def _reopen(self) -> Connection:
        self._line = Connection(self._place, self)
        self._pinged.clear()
        self._reach.made()
        return self._line

    def line_progressed(self, line: Connection, phase: Phase) -> None:
        """Somebody listens, or speaks our protocol."""
        if line is self._line:
            self._reach.progressed(phase)
            self._trouble = SILENT

    def line_ready(self, line: Connection) -> None:
        """Open it, for the session we have, or for a new one."""
        opening = {"type": "open", "session": self._session, "ack": self._sequence.received}
        if line is self._side:
            line.send({**opening, "side": True}, [])
        else:
            line.send({**opening, **self._probe.fields()}, [])

    def line_alive(self, line: Connection) -> None:
        """The controller sends or takes a large message: it is there."""
        if line is self._line and self._reach.phase == "open":
            self._reach.heard()

    def line_doubted(self, line: Connection, reason: str) -> None:
        """Note it, for when we give up; soon, if it goes on like that from the beginning."""
        del line
        self._trouble = reason
        self._doubts += 1

    def line_refused(self, line: Connection, reason: str) -> None:
        """Give up if it is the first time we come; later it may be the network's doing."""
        self._trouble = reason
        if self._reach.state == "connecting":
            self._give_up(reason)
        else:
            self.line_broken(line)

    def line_broken(self, line: Connection) -> None:
        """Make another, now or in a while."""
        line.close()
        if line is self._side:
            self._side = None
        elif line is self._line and self._reach.phase != "none":
            if self._reach.phase in ("open", "made"):
                self._trouble = CLOSED if self._reach.phase == "open" else NOBODY
            if self._reach.broken():
                self._reopen()
            elif self._doubts >= MAX_DOUBTS and self._reach.state == "connecting":
                self._give_up(self._trouble)

    def line_heard(self, line: Connection, header: JsonDict, buffers: list[Any]) -> None:
        """A message of our controller."""
        kind = header["type"]
        if kind == "forgotten":
            self._trouble = FORGOTTEN
            self._renew()
            return
        if line is self._side:
            self._reach.heard_aside()
            self._under_way_bytes = header.get("bytes", 0)
            return
        if kind == "welcome":
            self._on_welcome(header)
            return
        self._reach.heard()
        if kind == "pong":
            self._under_way_bytes = header.get("bytes", 0)
            # What was sent after the ping is on its way.
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
            # It had not heard of us for so long that it forgot us: we number anew.
            self._sequence = Sequence()
            self._receiver.away(FORGOTTEN)
        self._instance, self._session = header["instance"], header["session"]
        self._reach.welcomed()
        if is_new or not was_up:
            self._receiver.receive(header, [])
        self._resend(header["ack"], self._sequence.last_sent)

    def _resend(self, received: int, upto: int) -> None:
        """Send again what the controller has not got of the messages up to a number."""
        self._sequence.acknowledge(received)
        for sent in list(self._sequence.unacknowledged):
            if sent.n <= upto:
                self._send(sent.header, sent.buffers)

    # -- time -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._closed:
            return
        self._timer = self._place.loop.call_later(TICK_SECONDS, self._tick)
        asked = self._receiver.is_waiting or bool(self._sequence.unacknowledged)
        under_way = self._sequence.unacknowledged_bytes + self._under_way_bytes
        for action in self._reach.tick(asked=asked, under_way_bytes=under_way):
            self._do(action)

    def _do(self, action: Action) -> None:
        if self._closed:
            return
        if action == "ping":
            self._pinged.append(self._sequence.last_sent)
            self._send({"type": "ping"}, [])
        elif action == "ping aside":
            self._ping_aside()
        elif action == "leave side":
            self._leave_side()
        elif action == "give up":
            self._give_up(self._trouble)
        elif action == "away":
            self._go_away()
        elif (reason := self._why_never()) is not None:
            self._give_up(reason)
        else:
            self._line.close()
            self._reopen()

    def _renew(self) -> None:
        self._leave_side()
        self._line.close()
        self._reopen()

    def _ping_aside(self) -> None:
        if self._side is None:
            self._side = Connection(self._place, self)
        elif self._side.is_ready:
            self._side.send({"type": "ping", "ack": self._sequence.received}, [])

    def _leave_side(self) -> None:
        if self._side is not None:
            self._side.close()
            self._side = None

    def _go_away(self) -> None:
        """What waits is told, and taken back; the rest is tried again and again."""
        open_line = self._reach.phase == "open"
        reason = f"no answer for {RECONNECT_TIMEOUT} s" if open_line else self._trouble
        self._sequence.take_back()
        self._receiver.away(reason)

    def _why_never(self) -> str | None:
        return self._successor() if self._reach.state == "away" else None

    # -- the end --------------------------------------------------------------------------------

    def _give_up(self, reason: str) -> None:
        if not self._closed:
            self._close_lines()
            self._receiver.lost(reason)

    def close(self) -> None:
        """Say goodbye and leave."""
        if not self._closed:
            if self._reach.phase == "open":
                self._send({"type": "bye"}, [])
            self._close_lines(linger=0.2)

    def _close_lines(self, linger: float = 0.0) -> None:
        self._closed = True
        self._reach.lost()
        self._timer.cancel()
        self._leave_side()
        self._line.close(linger)
        # The client may live on in a variable; its descriptors must not.
        self._probe.buffer = None
        self._sequence = Sequence()


def _opened(header: JsonDict, buffers: list[Any]) -> tuple[JsonDict, list[Any]]:
    """A message with its blocks opened, before its receipt lets the controller drop them."""
    try:
        return header, from_frames(buffers)
    except LostSharedBuffer as error:
        return {**header, "refused": {"ename": "FleetError", "evalue": str(error)}}, []
