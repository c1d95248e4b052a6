"""The controller's end of an engine's socket of packets, see ``wire/files/packet_socket.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from jupyter_client.session import Session

from kernelfleet.wire.files import packet_socket
from kernelfleet.wire.files.packet_socket import PacketSocket
from kernelfleet.wire.jupyter import COMPACT, BadKernelMessage, KernelMessage, decode


class Packets:
    """Sends requests of the shell channel to one process of an engine, and reads its replies.

    Args:
        connected: The connection.
        session: Has the key.
        identity: By which the process is known on the ZMQ sockets.
        on_message: Gets each message.
    """

    def __init__(
        self,
        connected: PacketSocket,
        session: Session,
        identity: bytes,
        on_message: Callable[[KernelMessage], None],
    ) -> None:
        self._connected, self._session = connected, session
        self._identity, self._on_message = identity, on_message
        self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        self._loop.add_reader(connected.fileno(), self._read)

    def send(self, channel: str, frames: Sequence[Any]) -> bool:
        """Send a message; False if it has to go over ZMQ, as all of Jupyter's own."""
        takes_it = channel == "shell" and frames[0] == COMPACT and self._loop is not None
        return takes_it and self._connected.send(frames)

    def _read(self) -> None:
        try:
            frames = self._connected.receive()
        except EOFError:
            self.close()  # the engine has ended, which its process tells, or uses it no more
            return
        if frames is None:
            return
        try:
            message = decode(self._session, [self._identity, *frames])
        except BadKernelMessage as error:
            message = KernelMessage([self._identity], "", "", "", {}, [], problem=str(error))
        message.session = self._identity.decode()
        self._on_message(message)

    def close(self) -> None:
        """Use it no more."""
        if self._loop is not None:
            self._loop.remove_reader(self._connected.fileno())
            self._loop = None
            self._connected.close()


def connect(
    connection_file: str,
    session: Session,
    identity: bytes,
    on_message: Callable[[KernelMessage], None],
) -> Packets | None:
    """Connect to the engine with this connection file; None if that cannot be done."""
    connected = packet_socket.connect(f"{connection_file}{packet_socket.SUFFIX}")
    return None if connected is None else Packets(connected, session, identity, on_message)
