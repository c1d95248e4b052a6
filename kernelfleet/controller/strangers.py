"""Who knocks at the door and may not come in: counted, told to the log once, never answered.

A *connection* is refused when it does not get through the handshake of CURVE: no CURVE, an unknown
key, garbage, or silence. A *message* is refused when it is malformed or not signed with our key.

Nobody can be kept from opening connections, and a process without free descriptors is lost: libzmq
(4.3.5) aborts when it cannot accept a connection on a Unix socket. So with too many connections the
TCP door is shut for a moment, which cuts all of them. Clients come back by themselves; what comes
meanwhile waits in the system's queue.
"""

from __future__ import annotations

import asyncio
import os
import socket
from logging import Logger
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from kernelfleet.wire.pump import SocketPump

#: Seconds a connection may take for its handshake, which a client does in milliseconds.
HANDSHAKE_SECONDS = 10.0
#: Connections that may wait to be accepted; as many as the system allows.
BACKLOG = 4096
#: Connections over TCP, clients included, or this part of the descriptors the process may have.
MAX_CONNECTIONS = 1000
PART_OF_DESCRIPTORS = 4
#: How long the door is shut then; clients look for their controller a little longer.
SHUT_SECONDS = 1.0


def listen(port: int) -> socket.socket:
    """A socket that listens on a loopback port; 0 is any.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.socket()
    try:
        if os.name == "posix":  # on Windows it would share the port with whoever has it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


class Strangers:
    """What a daemon refuses; every method runs on the controller's loop."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        #: Messages that were malformed, or not signed with our key.
        self.messages = 0
        self._accepted = self._let_in = 0
        #: The descriptors of connections that are open.
        self._open: set[int] = set()
        self.max_connections = MAX_CONNECTIONS
        self._url = ""
        self._shut: asyncio.TimerHandle | None = None
        self._times_shut = 0
        self._pump: SocketPump | None = None
        self._socket: zmq.Socket[Any] | None = None
        self._listener: socket.socket | None = None
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
        self, loop: asyncio.AbstractEventLoop, context: zmq.Context[Any], door: zmq.Socket[Any]
    ) -> None:
        """Count the connections of an encrypted TCP socket; call it before the door opens."""
        door.handshake_ivl = int(HANDSHAKE_SECONDS * 1000)
        address = f"inproc://strangers-{id(self)}"
        events_wanted = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        door.monitor(address, events_wanted)
        events = context.socket(zmq.PAIR)
        events.linger = 0
        # Unlimited: libzmq's own thread, which serves all sockets, would wait for us to read.
        events.rcvhwm = 0
        events.connect(address)
        self._socket = door
        self._pump = SocketPump(loop, events, self._on_event, copy=True)

    def open_door(self, listener: socket.socket, descriptors: int | None) -> str:
        """Let connections come to the watched socket; returns the URL.

        Args:
            listener: Listens already. ZMQ gets duplicates of it, so that the port stays ours
                while the door is shut.
            descriptors: How many this process may have; None is any number.
        """
        self._listener = listener
        if descriptors is not None:
            self.max_connections = min(MAX_CONNECTIONS, max(1, descriptors // PART_OF_DESCRIPTORS))
        self._bind()
        return self._url

    def _bind(self) -> None:
        assert self._socket is not None
        assert self._listener is not None
        self._socket.setsockopt(zmq.USE_FD, self._listener.dup().detach())
        host, port = self._listener.getsockname()
        self._socket.bind(f"tcp://{host}:{port}")
        self._url = str(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))

    def _on_event(self, frames: list[Any]) -> None:
        message = parse_monitor_message(frames)
        if message["event"] == zmq.EVENT_ACCEPTED:
            self._accepted += 1
            self._open.add(message["value"])
            self._look_again()
            if len(self._open) >= self.max_connections and self._shut is None:
                self._shut_door()
        elif message["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._let_in += 1
        else:
            self._open.discard(message["value"])

    def _shut_door(self) -> None:
        if self._socket is None or not self._url:
            return
        self._times_shut += 1
        if self._times_shut == 1:
            self._log.warning("%d connections on TCP are too many: all are cut", len(self._open))
        self._socket.unbind(self._url)
        self._shut = asyncio.get_running_loop().call_later(SHUT_SECONDS, self._reopen_door)

    def _reopen_door(self) -> None:
        self._shut = None
        self._open.clear()  # not all of them are told to have gone
        self._bind()

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
        for timer in (self._timer, self._shut):
            if timer is not None:
                timer.cancel()
        if self._listener is not None:
            self._listener.close()
