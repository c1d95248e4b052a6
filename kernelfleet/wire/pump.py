"""One ZMQ socket on an asyncio loop, without zmq.asyncio.

A ZMQ descriptor is edge-triggered: it tells that *something* changed, once. Whoever sends on the
socket may eat the edge that a waiting message had raised, and the message is then never read
(jupyter_client's AsyncKernelClient stalls this way when requests are pipelined). So: read until
nothing is left whenever the descriptor wakes us, and look at EVENTS again after each send.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import zmq

#: Sockets per ZMQ context; the default of 1023 is too few for hundreds of engines.
MAX_SOCKETS = 8192

#: Messages read in one go before other work on the loop gets its turn; and how long that may take.
BATCH = 64
TURN_SECONDS = 0.005

# zmq's constants are members of enumerations, and an operation with one costs as much as sending.
EVENTS, POLLIN, POLLOUT = int(zmq.EVENTS), int(zmq.POLLIN), int(zmq.POLLOUT)
_NOBLOCK = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)

#: Frames below this size are copied when they are sent.
COPIED_BYTES = 64 * 1024


class SocketPump:
    """Reads every message of a socket into a callback; sends without ever blocking.

    Lives on the loop's thread; every method must be called there.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket: zmq.Socket[bytes],
        on_message: Callable[[list[Any]], None],
        *,
        copy: bool = False,
    ) -> None:
        self.socket = socket
        self._loop = loop
        self._on_message = on_message
        self._copy = copy
        self._waiting: deque[Sequence[Any]] = deque()
        self._fd = int(socket.getsockopt(zmq.FD))
        self._closed = False
        loop.add_reader(self._fd, self._wake)
        loop.call_soon(self._wake)

    def send(self, frames: Sequence[Any]) -> None:
        """Send one message now, or as soon as the peer takes it, in order.

        Raises:
            zmq.ZMQError: EHOSTUNREACH, a router that knows no such peer.
        """
        if self._closed:
            return
        if self._waiting:
            self._waiting.append(frames)
            return
        try:
            send_frames(self.socket, frames)
        except zmq.Again:
            self._waiting.append(frames)
        finally:  # a send that fails eats the edge as well
            if self._waiting or self._events() & POLLIN:
                self._loop.call_soon(self._wake)

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def backlog(self) -> int:
        """How many messages wait for the peer to take them."""
        return len(self._waiting)

    def drain(self) -> None:
        """Read everything that has arrived by now."""
        while not self._closed and self._events() & POLLIN:
            self._receive()

    def close(self, linger: float = 0.0) -> None:
        """Stop reading and close the socket; ``linger`` seconds for what is being sent."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        self.socket.close(linger=int(linger * 1000))

    def _wake(self) -> None:
        if self.take_turn():
            self._loop.call_soon(self._wake)

    def take_turn(self) -> bool:
        """Read what has arrived, but not for long; True if there may be more."""
        if self._closed:
            return False
        deadline = self._loop.time() + TURN_SECONDS
        for _ in range(BATCH):
            events = self._events()
            if events & POLLOUT and self._waiting:
                self._send_waiting()
            if not events & POLLIN:
                return False
            self._receive()
            if self.is_closed:  # by the callback
                return False
            if self._loop.time() >= deadline:
                break
        return True

    def _send_waiting(self) -> None:
        while self._waiting:
            try:
                send_frames(self.socket, self._waiting[0])
            except zmq.Again:
                return
            except zmq.ZMQError:  # the peer has left meanwhile
                pass
            self._waiting.popleft()

    def _events(self) -> int:
        return int(self.socket.getsockopt(EVENTS))

    def _receive(self) -> None:
        try:
            frames = receive_frames(self.socket, copy=self._copy)
        except zmq.Again:
            return
        try:
            self._on_message(frames)
        except Exception as error:  # noqa: BLE001 (reported; the descriptor would not wake us again)
            self._loop.call_exception_handler(
                {"message": "a received message could not be handled", "exception": error}
            )


def send_frames(socket: zmq.Socket[bytes], frames: Sequence[Any]) -> None:
    """Send one message, or nothing.

    Without a copy each frame costs an object of its own, which pays for large ones only.

    Raises:
        zmq.Again: the peer takes no more now.
        zmq.ZMQError: there is no such peer.
    """
    if not all(map(_is_small, frames)):
        socket.send_multipart(frames, _NOBLOCK, copy=False)
        return
    for frame in frames[:-1]:
        socket.send(frame, _MORE)
    socket.send(frames[-1], _NOBLOCK)


def receive_frames(socket: zmq.Socket[bytes], *, copy: bool = False) -> list[Any]:
    """Receive one message: frames of pyzmq, or their bytes with ``copy``.

    Raises:
        zmq.Again: there is none.
    """
    if copy:
        return socket.recv_multipart(_NOBLOCK)
    frames = [socket.recv(_NOBLOCK, copy=False)]
    while frames[-1].more:
        frames.append(socket.recv(_NOBLOCK, copy=False))
    return frames


def _is_small(frame: Any) -> bool:
    if isinstance(frame, bytes):
        return len(frame) < COPIED_BYTES
    return isinstance(frame, memoryview) and frame.nbytes < COPIED_BYTES
