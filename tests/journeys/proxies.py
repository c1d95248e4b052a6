"""A bad network between a client and a daemon: a TCP proxy that a test drives.

::

    client --> accept --> [up:   read | hold, delay, throttle, swallow, cut | write] --> daemon
           <-------------- [down: write |            the same               | read ] <--

Threads and blocking sockets only, nothing of the product. What is told to it holds at once, for
connections that are there and for new ones.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

Direction = Literal["up", "down"]  # to the daemon, to the client

PIECE_BYTES = 64 * 1024
#: What one direction of a connection holds while it is delayed, throttled or frozen.
HELD_BYTES = 4 * 1024 * 1024
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on ``port`` and forwards to a port of this machine, as well as it is told to."""

    def __init__(self, target: int, *, record: bool = False) -> None:
        self.changed = threading.Condition()
        #: Seconds each byte is under way.
        self.delay = 0.0
        #: Bytes per second and direction of a connection; None is as fast as it goes.
        self.rate: float | None = None
        #: Bytes that have come and not been forwarded; bytes forwarded since the beginning.
        self.held: dict[Direction, int] = {"up": 0, "down": 0}
        self.forwarded: dict[Direction, int] = {"up": 0, "down": 0}
        #: The bytes themselves, if wanted.
        self.recorded: dict[Direction, bytearray] = {"up": bytearray(), "down": bytearray()}
        #: Connections made since the beginning.
        self.accepted = 0
        self.cuts = 0
        self.black = False
        self._frozen: set[Direction] = set()
        self._record, self._target = record, target
        self._cut_after: dict[Direction, int] = {}
        self._connections: set[_Connection] = set()
        self._closed = False
        self._listener = _listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._serve()

    @property
    def url(self) -> str:
        """What a connection file is to say."""
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    # -- faults ---------------------------------------------------------------------------------

    def cut(self, *, reset: bool = False) -> None:
        """End all connections, by FIN or by RST; what was under way is lost."""
        with self.changed:
            connections, self._connections = self._connections, set()
            self.cuts += bool(connections)
            for connection in connections:
                connection.close(reset)
            self.changed.notify_all()

    def cut_after(self, direction: Direction, count: int) -> None:
        """Let ``count`` more bytes pass in one direction, then cut all connections, once."""
        with self.changed:
            self._cut_after[direction] = count

    def refuse(self) -> None:
        """Nobody listens any more; connections that are there stay."""
        _close_listener(self._listener)

    def accept(self) -> None:
        """Listen again, on the same port."""
        self._listener = _listen(self.port)
        self._serve()

    def freeze(self, *directions: Direction) -> None:
        """Forward nothing, lose nothing, close nothing: packets are lost, and sent again later."""
        with self.changed:
            self._frozen |= set(directions or ("up", "down"))

    def thaw(self) -> None:
        """Forward what was held back, and go on."""
        with self.changed:
            self._frozen.clear()
            self.changed.notify_all()

    def is_frozen(self, direction: Direction) -> bool:
        """Whether nothing is forwarded in this direction."""
        return direction in self._frozen

    def darken(self) -> None:
        """Swallow everything and close nothing, as a network that is gone."""
        with self.changed:
            self.black = True
            for connection in self._connections:
                connection.black = True

    def lighten(self) -> None:
        """New connections work; those that were there in the dark stay as they are, for ever."""
        with self.changed:
            self.black = False

    # -- waiting --------------------------------------------------------------------------------

    def wait_for(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Until something is so that depends on this proxy alone."""
        with self.changed:
            assert self.changed.wait_for(condition, seconds), f"not within {seconds} s"

    def wait_until_held(self, direction: Direction, count: int = 1) -> None:
        """Until so many bytes are here that have not been forwarded."""
        self.wait_for(lambda: self.held[direction] >= count)

    # -- inside ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        threading.Thread(
            target=self._accept_all, args=(self._listener,), name="proxy", daemon=True
        ).start()

    def _accept_all(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                daemon = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self.changed:
                connection = _Connection(self, client, daemon)
                connection.black = self.black
                self._connections.add(connection)
                self.accepted += 1
                self.changed.notify_all()
            connection.start()

    def may_pass(self, direction: Direction, data: bytes) -> tuple[bytes, bool]:
        """How much of it passes, and whether the connections are to be cut then (locked)."""
        left = self._cut_after.get(direction)
        if left is None:
            return data, False
        if left > len(data):
            self._cut_after[direction] = left - len(data)
            return data, False
        del self._cut_after[direction]
        return data[:left], True

    def has_passed(self, direction: Direction, data: bytes) -> None:
        """Count and keep what was forwarded."""
        with self.changed:
            self.forwarded[direction] += len(data)
            if self._record:
                self.recorded[direction] += data
            self.changed.notify_all()

    def forget(self, connection: _Connection) -> None:
        """It has ended by itself."""
        with self.changed:
            self._connections.discard(connection)
            self.changed.notify_all()

    def close(self) -> None:
        """End everything."""
        _close_listener(self._listener)
        self.cut()
        self.thaw()


class _Connection:
    def __init__(self, proxy: Proxy, client: socket.socket, daemon: socket.socket) -> None:
        self.proxy, self.client, self.daemon = proxy, client, daemon
        self.black = self.closed = False
        for each in (client, daemon):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        _Pipe(self, "up", self.client, self.daemon).start()
        _Pipe(self, "down", self.daemon, self.client).start()

    def close(self, reset: bool) -> None:
        self.closed = True
        for each in (self.client, self.daemon):
            with contextlib.suppress(OSError):
                if reset:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                # A thread that reads keeps a closed socket open until it has been woken.
                each.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
            each.close()

    def ended(self, by: socket.socket) -> None:
        """One side has closed: so does the other, unless the news is swallowed, too."""
        with self.proxy.changed:
            if self.black and by is self.client:
                by.close()
                return
            if not self.closed:
                self.close(reset=False)
        self.proxy.forget(self)


class _Pipe:
    """One direction: a thread reads, another writes when the bytes' time has come."""

    def __init__(
        self,
        connection: _Connection,
        direction: Direction,
        source: socket.socket,
        sink: socket.socket,
    ) -> None:
        self._connection, self._direction = connection, direction
        self._source, self._sink = source, sink
        self._proxy = connection.proxy
        self._held: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._free_at = 0.0
        self._ended = False

    def start(self) -> None:
        for target in (self._read, self._write):
            threading.Thread(target=target, name="proxy", daemon=True).start()

    def _read(self) -> None:
        changed = self._proxy.changed
        while True:
            try:
                data = self._source.recv(PIECE_BYTES)
            except OSError:
                data = b""
            with changed:
                if data and not self._connection.black and not self._connection.closed:
                    self._held.append((time.monotonic() + self._proxy.delay, data))
                    self._account(len(data))
                self._ended = not data
                changed.notify_all()
                if not data:
                    return
                changed.wait_for(lambda: self._held_bytes < HELD_BYTES or self._connection.closed)

    def _write(self) -> None:
        while (piece := self._next()) is not None:
            data, cut = piece
            try:
                self._sink.sendall(data)
            except OSError:
                break
            self._proxy.has_passed(self._direction, data)
            if cut:
                self._proxy.cut()
        with self._proxy.changed:
            self._account(-self._held_bytes)
        self._connection.ended(self._source)

    def _account(self, count: int) -> None:
        self._held_bytes += count
        self._proxy.held[self._direction] += count

    def _next(self) -> tuple[bytes, bool] | None:
        """Wait for the next bytes that may pass; None at the end."""
        proxy, connection = self._proxy, self._connection
        with proxy.changed:
            while not connection.closed:
                if connection.black:
                    self._held.clear()
                    self._account(-self._held_bytes)
                if not self._held:
                    if self._ended:
                        return None
                    proxy.changed.wait()
                elif proxy.is_frozen(self._direction):
                    proxy.changed.wait()
                else:
                    due, data = self._held[0]
                    wait = max(due, self._free_at) - time.monotonic()
                    if wait > 0:
                        proxy.changed.wait(wait)
                        continue
                    self._held.popleft()
                    self._account(-len(data))
                    if proxy.rate is not None:
                        self._free_at = time.monotonic() + len(data) / proxy.rate
                    proxy.changed.notify_all()
                    return proxy.may_pass(self._direction, data)
        return None


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def _close_listener(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
    listener.close()
