"""Who knocks at the door and may not come in: counted, told to the log once, never answered.

A *connection* is refused when it does not get through the handshake of CURVE: no CURVE, an unknown
key, garbage, or silence. A *message* is refused when it is malformed or not signed with our key.
"""

from __future__ import annotations

import asyncio
from logging import Logger
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from kernelfleet.wire.pump import SocketPump

#: Seconds a connection may take for its handshake, which a client does in milliseconds.
HANDSHAKE_SECONDS = 10.0
#: Connections that may wait to be accepted; as many as the system allows.
BACKLOG = 4096


class Strangers:
    """What a daemon refuses; every method runs on the controller's loop."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        #: Messages that were malformed, or not signed with our key.
        self.messages = 0
        self._accepted = self._let_in = 0
        self._pump: SocketPump | None = None
        self._socket: zmq.Socket[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._told = False

    @property
    def connections(self) -> int:
        """Connections that were not let in, or are in their handshake at this moment."""
        return self._accepted - self._let_in

    def counts(self) -> dict[str, int]:
        """What ``kernelfleet status`` shows."""
        return {"connections": self.connections, "messages": self.messages}

    def refuse(self, why: object) -> None:
        """Count a message that is not answered."""
        self.messages += 1
        if self.messages == 1:
            self._log.warning("refused a malformed or unsigned message: %s", why)

    def watch(
        self, loop: asyncio.AbstractEventLoop, context: zmq.Context[Any], socket: zmq.Socket[Any]
    ) -> None:
        """Count the connections of an encrypted TCP socket; call it before the socket is bound."""
        socket.handshake_ivl = int(HANDSHAKE_SECONDS * 1000)
        socket.backlog = BACKLOG
        address = f"inproc://strangers-{id(self)}"
        socket.monitor(address, zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        events = context.socket(zmq.PAIR)
        events.linger = 0
        # Unlimited: libzmq's own thread, which serves all sockets, would wait for us to read.
        events.rcvhwm = 0
        events.connect(address)
        self._socket = socket
        self._pump = SocketPump(loop, events, self._on_event, copy=True)

    def _on_event(self, frames: list[Any]) -> None:
        if parse_monitor_message(frames)["event"] == zmq.EVENT_ACCEPTED:
            self._accepted += 1
            self._look_again()
        else:
            self._let_in += 1

    def _look_again(self) -> None:
        """Tell of the first one, when a client would have got through its handshake."""
        if self._told or self._timer is not None:
            return

        def look() -> None:
            self._timer = None
            if self.connections and not self._told:
                self._told = True
                self._log.warning("refused a TCP connection without the fleet's keys: see status")

        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, look)

    def close(self) -> None:
        """Stop counting, and tell the log how many there were."""
        self.stop_watching()
        if self.connections or self.messages:
            self._log.warning(
                "refused %d TCP connections and %d messages in all", self.connections, self.messages
            )

    def stop_watching(self) -> None:
        """Let the socket go, before it is closed. Safe to call twice."""
        if self._pump is None or self._socket is None:
            return
        self._pump.drain()
        self._socket.disable_monitor()
        self._pump.close()
        self._pump = None
        if self._timer is not None:
            self._timer.cancel()
