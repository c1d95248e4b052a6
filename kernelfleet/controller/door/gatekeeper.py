"""Unauthenticated connections and messages: counted, logged once, bounded, and never answered.

A *connection* is refused when it does not complete the handshake of CURVE or PLAIN: it uses another
mechanism or none, has an unknown key, sends garbage, or stays silent. A *message* is refused when
it is malformed or not signed with our key.

Anybody who reaches the socket can open connections, and before a connection shows a key, each can
make libzmq (4.3.5) hold one frame, some buffers and a descriptor. Therefore only a few may wait at
each door: with one more, the one that has waited longest is cut. An honest client takes some
milliseconds from its connection to its first signed message; if it is cut meanwhile, it connects
again by itself.

libzmq's monitor reports the descriptor of a connection when it is accepted and when it ends, and
each message carries the descriptor it came by. libzmq has no call to close a single connection, but
one whose socket was shut down through its descriptor ends as if its other side had closed it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from logging import Logger
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from kernelfleet.controller.timing import HANDSHAKE_SECONDS
from kernelfleet.wire.files.addresses import LOOPBACK, in_url
from kernelfleet.wire.files.connection_file import DEFAULT_PORT
from kernelfleet.wire.pump import SocketPump

#: The backlog of a listening socket: connections that the system keeps until they are accepted.
BACKLOG = 4096
#: Connections at one door that have not sent a signed message; or this part of the descriptors
#: that the process may have, if that is less.
MAX_WAITING = 64
#: At the Unix socket, which takes larger frames, and which only this user can reach.
MAX_WAITING_UNIX = 16
PART_OF_DESCRIPTORS = 8
#: Ports tried from the default one on, where none is asked for.
PORTS_TRIED = 100


def listen(port: int, host: str = LOOPBACK) -> socket.socket:
    """A socket that listens on a port of one address of this machine; port 0 is any.

    Raises:
        OSError: the port is taken, or this machine has no such address.
    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family)
    try:
        if os.name == "posix":  # on Windows it would share the port with whoever has it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def listen_near(port: int | None, host: str) -> socket.socket:
    """A listener on this port, or on the first free one from the default on.

    Raises:
        OSError: the port (or all that were tried) is in use, or there is no such address.
    """
    ports = [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED)
    last: OSError | None = None
    for candidate in ports:
        try:
            return listen(candidate, host)
        except OSError as error:
            last = error
            if error.errno != errno.EADDRINUSE:  # another port would not help
                break
    hint = ""
    if host != LOOPBACK and last is not None and last.errno != errno.EADDRINUSE:
        hint = "; --host is an address of this machine, or 0.0.0.0 for all of them"
    raise OSError(f"cannot listen on {in_url(host)}:{ports[0]}: {last}{hint}")


def max_waiting(descriptors: int | None, most: int = MAX_WAITING) -> int:
    """How many connections may wait at a door.

    Args:
        descriptors: How many the process may have; None is any number.
        most: How many at the most.
    """
    if descriptors is None:
        return most
    return min(most, max(1, descriptors // PART_OF_DESCRIPTORS))


class Gatekeeper:
    """Counts and bounds what a daemon refuses; every method runs on the controller's loop."""

    def __init__(self, log: Logger, descriptors: int | None = None) -> None:
        self._log = log
        #: Messages that were malformed, or not signed with our key.
        self.messages = 0
        self._descriptors = descriptors
        self._doors: list[Door] = []
        self._timer: asyncio.TimerHandle | None = None
        self._told = self._told_of_cut = False

    @property
    def connections(self) -> int:
        """Connections that were not let in, or are in their handshake at this moment."""
        return sum(door.accepted - door.greeted for door in self._doors)

    def counts(self) -> dict[str, int]:
        """What ``kernelfleet status`` shows."""
        return {"connections": self.connections, "messages": self.messages}

    def refuse(self, why: object) -> None:
        """Count a message that gets no answer."""
        self.messages += 1
        if self.messages == 1:
            self._log.warning("refused a malformed or unsigned message: %s", why)

    def watch(
        self,
        loop: asyncio.AbstractEventLoop,
        context: zmq.Context[Any],
        listening: zmq.Socket[Any],
        most: int = MAX_WAITING,
    ) -> Door:
        """Watch the connections of a socket; call it before the socket listens."""
        listening.handshake_ivl = int(HANDSHAKE_SECONDS * 1000)
        door = Door(loop, context, listening, self, max_waiting(self._descriptors, most))
        self._doors.append(door)
        return door

    def arrived(self, door: Door) -> None:
        """A connection was accepted: cut the oldest ones if too many wait."""
        self._look_again()
        while len(door.waiting) > door.most:
            door.cut_oldest()
            if not self._told_of_cut:
                self._told_of_cut = True
                self._log.warning(
                    "more than %d connections without a key at once: the oldest are cut", door.most
                )

    def _look_again(self) -> None:
        """Log the first refused connection, once a client would have completed its handshake."""
        if self._told or self._timer is not None:
            return

        def look() -> None:
            self._timer = None
            if self.connections and not self._told:
                self._told = True
                self._log.warning("refused a connection without the fleet's keys: see status")

        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, look)

    def close(self) -> None:
        """Stop counting, before the sockets are closed, and log how many were refused."""
        for door in self._doors:
            door.close()
        if self._timer is not None:
            self._timer.cancel()
        if self.connections or self.messages:
            self._log.warning(
                "refused %d connections and %d messages in all", self.connections, self.messages
            )


class Door:
    """The connections of one listening socket."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: zmq.Context[Any],
        listening: zmq.Socket[Any],
        gatekeeper: Gatekeeper,
        most: int,
    ) -> None:
        #: How many connections may wait.
        self.most = most
        self.accepted = self.greeted = 0
        #: Descriptors of the connections that have not sent a signed message yet, the oldest first,
        #: each with its two addresses when it was accepted.
        self.waiting: dict[int, object] = {}
        self._socket, self._gatekeeper = listening, gatekeeper
        self._family = socket.AF_INET
        self._closed = False
        address = f"inproc://door-{id(self)}"
        wanted = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        listening.monitor(address, wanted)
        events = context.socket(zmq.PAIR)
        events.linger = 0
        # No limit: if the queue were full, libzmq's I/O thread, which serves all sockets, would
        # block until we read.
        events.rcvhwm = 0
        events.connect(address)
        self._pump = SocketPump(loop, events, self._on_event, copy=True)

    def bind_tcp(self, listener: socket.socket) -> str:
        """Accept connections on a socket that listens already; returns the URL."""
        self._family = listener.family
        self._socket.ipv6 = listener.family == socket.AF_INET6
        host = listener.getsockname()[0]
        self._socket.setsockopt(zmq.USE_FD, listener.detach())
        return self._bind(f"tcp://{in_url(host)}:*")

    def bind_ipc(self, path: str) -> str:
        """Accept connections on a Unix socket; returns the URL."""
        self._family = getattr(socket, "AF_UNIX", socket.AF_INET)
        return self._bind(f"ipc://{path}")

    def _bind(self, url: str) -> str:
        self._socket.bind(url)
        return str(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))

    def let_in(self, frame: zmq.Frame) -> None:
        """The connection this frame came by has sent a signed message."""
        self._pump.drain()  # the monitor reports a connection before its first message is delivered
        self.waiting.pop(frame.get(zmq.SRCFD), None)

    def _on_event(self, frames: list[Any]) -> None:
        message = parse_monitor_message(frames)
        if message["event"] == zmq.EVENT_ACCEPTED:
            self.accepted += 1
            self.waiting[message["value"]] = self._addresses(message["value"])
            self._gatekeeper.arrived(self)
        elif message["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.greeted += 1
        else:
            self.waiting.pop(message["value"], None)

    def cut_oldest(self) -> None:
        """End the connection that has waited longest."""
        fd = next(iter(self.waiting))
        was = self.waiting.pop(fd)
        # The descriptor may belong to a newer connection by now, whose event is still unread.
        if was is not None and self._addresses(fd) == was:
            with contextlib.suppress(OSError), self._copy(fd) as connection:
                connection.shutdown(socket.SHUT_RDWR)

    def _addresses(self, fd: int) -> object:
        """Both addresses of a connection; None if the descriptor is no connection of this door."""
        with contextlib.suppress(OSError), self._copy(fd) as connection:
            return connection.getsockname(), connection.getpeername()
        return None

    def _copy(self, fd: int) -> socket.socket:
        return socket.fromfd(fd, self._family, socket.SOCK_STREAM)

    def close(self) -> None:
        """Stop watching the socket, before it is closed. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._pump.drain()
        self._socket.disable_monitor()
        self._pump.close()
