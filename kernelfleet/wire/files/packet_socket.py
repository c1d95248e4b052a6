"""A Unix socket of packets beside a kernel's connection file: a faster way for small messages.

ZMQ hands each message to a thread of its own on both sides, which takes longer than the message
itself if that is small. Where controller and engine are on one machine (Linux), small messages
travel as packets of a ``SOCK_SEQPACKET`` socket; whatever a packet cannot carry goes over ZMQ as
before. A packet arrives whole and in order as soon as it is sent.

The socket is in the fleet's directory, which only its owner can enter; each side makes sure that
the other one is a process of the same user.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

#: The largest packet. Data from this size on has frames of its own, which ZMQ does not copy.
MAX_PACKET_BYTES = 64 * 1024
MAX_FRAMES = 32
#: What the kernel of an engine has behind the path of its connection file.
SUFFIX = "-packets"

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class PacketSocket:
    """One end of a connection; never blocks."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return self._socket.fileno()

    def send(self, frames: Sequence[Any]) -> bool:
        """Send a message; False if it is too large, or the other end is gone or does not read."""
        views = [getattr(frame, "buffer", frame) for frame in frames]
        sizes = [len(view) if type(view) is bytes else memoryview(view).nbytes for view in views]
        if sum(sizes) > MAX_PACKET_BYTES or len(sizes) > MAX_FRAMES:
            return False
        head = struct.pack(f"<B{len(sizes)}I", len(sizes), *sizes)
        try:
            self._socket.sendmsg([head, *views], (), socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True

    def receive(self) -> list[bytes] | None:
        """Receive a message; None if there is none.

        Raises:
            EOFError: the other end is gone, or has sent something else than ``send`` does.
        """
        try:
            packet = self._socket.recv(MAX_PACKET_BYTES + 5 * MAX_FRAMES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise EOFError(str(error)) from error
        if not packet:
            raise EOFError
        at = 1 + 4 * packet[0]
        if len(packet) < at:
            raise EOFError("a packet without its sizes")
        frames = []
        for size in struct.unpack_from(f"<{packet[0]}I", packet, 1):
            frames.append(packet[at : at + size])
            at += size
        if at != len(packet):
            raise EOFError("a packet of another size than it says")
        return frames

    def close(self) -> None:
        """Close it, so that the other end notices even if a forked child has the descriptor."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def connect(path: str) -> PacketSocket | None:
    """Connect to an engine; None where it does not listen, or is not one of this user's.

    The file has served its purpose then, and is removed.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connected.setblocking(False)
        connected.connect(path)
        if is_of_this_user(connected):
            with suppress(FileNotFoundError):  # the engine may have accepted and removed it by now
                os.unlink(path)
            return PacketSocket(connected)
    except OSError:
        pass
    connected.close()
    return None


class Listener:
    """Waits for one controller."""

    def __init__(self, path: str) -> None:
        """Listen.

        Raises:
            OSError: the path cannot be used.
        """
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.setblocking(False)
            self._socket.bind(path)
            os.chmod(path, 0o600)
            self._socket.listen(1)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return self._socket.fileno()

    def accept(self) -> PacketSocket | None:
        """The controller, if it has come; processes of other users are sent away."""
        try:
            connected, _ = self._socket.accept()
        except OSError:
            return None
        if is_of_this_user(connected):
            return PacketSocket(connected)
        connected.close()
        return None

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
        with suppress(OSError):
            os.unlink(self._path)


def is_of_this_user(connected: socket.socket) -> bool:
    """Whether the process at the other end belongs to the user of this one."""
    told = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(told)[1] == os.geteuid())
