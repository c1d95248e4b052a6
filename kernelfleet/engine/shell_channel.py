"""The shell channel of an engine: the fleet's requests are served where they are read.

ipykernel 7.4 makes two tasks of each message, and it takes the event loop about five turns until
the reply is sent, which is a quarter of the time of a short call. Here a request of the fleet runs
in the callback that has read it, as far as it does not wait for anything; what awaits goes on as a
task. All other messages are left to ipykernel.

Small requests of the controller come as packets (``wire/files/packet_socket.py``), the others over
ZMQ. A packet is there as soon as it was sent. So packets are read first, and what was sent first is
served first.

Messages are served one after the other, in the order in which they came. Between two of them the
event loop turns, so that tasks of the user's go on.
"""

# mypy: allow-untyped-calls
# ipykernel's methods are untyped

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Coroutine, Generator, Sequence
from typing import Any

import zmq

from kernelfleet.wire.files.packet_socket import Listener, PacketSocket
from kernelfleet.wire.jupyter import is_compact
from kernelfleet.wire.pump import EVENTS, POLLIN, receive_frames


class ShellChannel:
    """Reads the shell socket of a kernel."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._pid = os.getpid()
        self._stream = kernel.shell_stream
        self._socket = self._stream.socket
        self._loop: asyncio.AbstractEventLoop = kernel.io_loop.asyncio_loop
        # Context variables that a cell has set are there in the next one.
        self._context = contextvars.copy_context()
        #: Where packets are read, and whose they are; or where a controller is waited for.
        self._packets: PacketSocket | None = None
        self._listener: Listener | None = None
        self._controller = b""
        #: What is served, or waits for its turn.
        self._tasks: set[asyncio.Task[None]] = set()
        self._looks_soon = False
        # ipykernel's event loops of GUI toolkits read by flushing the stream.
        self._stream.on_recv(self._take, copy=False)
        kernel.io_loop.remove_handler(self._socket)
        kernel.io_loop.add_handler(self._socket, self._wake, kernel.io_loop.READ)
        self.look_soon()

    # -- packets --------------------------------------------------------------------------------

    def listen(self, path: str, controller: bytes) -> bool:
        """Let the controller of this routing id connect; False if that is not possible."""
        self.read_no_packets()
        try:
            self._listener = Listener(path)
        except OSError:
            return False
        self._controller = controller
        self._loop.add_reader(self._listener.fileno(), self._accept)
        return True

    def packets_to(self, asker: bytes) -> PacketSocket | None:
        """Where this asker gets replies as packets; None if it gets them over ZMQ only."""
        return self._packets if asker == self._controller else None

    def read_no_packets(self) -> None:
        """Listen no more, and close the connection: the controller goes back to ZMQ."""
        if os.getpid() != self._pid:
            return
        for each in (self._listener, self._packets):
            if each is not None:
                self._loop.remove_reader(each.fileno())
                each.close()
        self._listener = self._packets = None

    def _accept(self) -> None:
        connected = None if self._listener is None else self._listener.accept()
        if connected is not None:
            self.read_no_packets()
            self._packets = connected
            self._loop.add_reader(connected.fileno(), self._read_packet)

    def _read_packet(self) -> bool:
        """Serve one packet; False if there was none."""
        if os.getpid() != self._pid:
            return False  # a child that the user's code has forked shares the connection
        try:
            frames = None if self._packets is None else self._packets.receive()
        except EOFError:
            self.read_no_packets()
            return False
        if frames is None:
            return False
        self._take([self._controller, *frames])
        # Code that has closed the descriptors of ZMQ ends the engine here, as it would when a reply
        # goes over ZMQ: an engine that nothing can wake any more would be waited for in vain.
        self._look_again()
        return True

    # -- ZMQ ------------------------------------------------------------------------------------

    def read_all(self) -> None:
        """Read what has arrived, while a message is served: it gets its turn later."""
        while self._read_packet():
            continue
        while self._socket.getsockopt(EVENTS) & POLLIN:
            self._take(receive_frames(self._socket))

    def _wake(self, *_: object) -> None:
        """Handle the descriptor's sign, unless there is to be a look soon anyway."""
        if not self._looks_soon:
            self._look()

    def _look(self) -> None:
        """Serve one message, if there is one."""
        self._looks_soon = False
        if self._stream.sending():
            self._stream.flush(zmq.POLLOUT)
        if not self._socket.getsockopt(EVENTS) & POLLIN:
            return
        while self._read_packet():
            continue
        try:
            self._take(receive_frames(self._socket))
        finally:
            self._look_again()

    def _look_again(self) -> None:
        """See to it that what has arrived is read in the next turn of the loop.

        The socket's descriptor tells of changes only, and sending a reply takes the sign away.
        """
        if self._socket.getsockopt(EVENTS) & POLLIN:
            self.look_soon()

    def look_soon(self) -> None:
        """Look what has arrived, in the next turn of the loop."""
        if not self._looks_soon:
            self._looks_soon = True
            self._loop.call_soon(self._look)

    def _take(self, frames: Sequence[Any]) -> None:
        coroutine = self._kernel.shell_main(None, frames)
        if self._tasks or not is_compact(frames) or _loops_are_nested():
            self._spawn(coroutine)
            return
        try:
            awaited = self._context.run(coroutine.send, None)
        except StopIteration:
            return
        self._spawn(_go_on(_Begun(coroutine, awaited)))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine, context=self._context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._look_again()


def _loops_are_nested() -> bool:
    """Whether nest_asyncio was applied: then the callback that reads must not run the user's code.

    A loop that is run by that code would find the descriptor readable, and could not call the
    callback a second time.
    """
    return hasattr(asyncio, "_nest_patched")


class _Begun:
    """A coroutine that has run up to where it awaits something; awaiting this goes on with it."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._coroutine, self._awaited = coroutine, awaited

    def __await__(self) -> Generator[Any, Any, None]:
        awaited = self._awaited
        while True:
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 (for the coroutine)
                step = lambda error=error: self._coroutine.throw(error)  # noqa: E731
            else:
                step = lambda sent=sent: self._coroutine.send(sent)  # noqa: E731
            try:
                awaited = step()
            except StopIteration:
                return


async def _go_on(begun: _Begun) -> None:
    await begun
