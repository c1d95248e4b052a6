"""A client by hand: it has the keys, asks what it likes, and reads when it likes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import zmq

from kernelfleet.wire.chunks import IPC_FRAME_BYTES, Incoming, Outgoing
from kernelfleet.wire.codec import Codec
from kernelfleet.wire.files import connection_file
from kernelfleet.wire.handshake import PLAIN_USERNAME, connection_codecs, plain_password
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.sequence import Sequence as Numbers
from kernelfleet.wire.versions import PROTOCOL_VERSION


def show_password(socket: zmq.Socket[Any], key: bytes) -> None:
    """Let a socket come in at the Unix socket of the fleet that has this key."""
    socket.plain_username = PLAIN_USERNAME
    socket.plain_password = plain_password(key).encode()


class RawClient:
    """Connected over the Unix socket when it is made; it shares no memory and never pings."""

    def __init__(self, fleet_name: str) -> None:
        file = connection_file.read(fleet_name)
        assert file.ipc is not None
        key = bytes.fromhex(file.key)
        self.name = uuid.uuid4().hex
        self.n = 0
        self.sequence = Numbers()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = self.socket.rcvhwm = 0
        self.socket.rcvtimeo = 20_000
        show_password(self.socket, key)
        self.socket.connect(file.ipc)
        hello = {"type": "hello", "version": PROTOCOL_VERSION, "client": self.name, "nonce": "o"}
        self.socket.send_multipart(Codec(key).encode(hello))
        challenge, _ = Codec(key).decode(self.socket.recv_multipart())
        self._to, self._from = connection_codecs(key, self.name, "o", challenge["challenge"])
        self._outgoing = Outgoing(self._to, self._transmit, IPC_FRAME_BYTES)
        self._incoming = Incoming()
        self.send({"type": "open"})
        self.welcome, _ = self.read()
        assert self.welcome["type"] == "welcome"

    def _transmit(self, frames: list[Any]) -> None:
        self.socket.send_multipart(frames)

    def send(self, header: JsonDict, buffers: Sequence[bytes] = ()) -> None:
        """Send a message; of a large one what there is room for, the rest with what is read."""
        self._outgoing.send({**header, "ack": self.sequence.received}, buffers)

    def ask(self, header: JsonDict, buffers: Sequence[bytes] = ()) -> int:
        """Send a request; its number."""
        self.n += 1
        result_id = f"{self.name}-{self.n}"
        request = {"type": "request", "n": self.n, "result_id": result_id, **header}
        self.send(request, buffers)
        return self.n

    def read(self) -> tuple[JsonDict, list[Any]]:
        """The next message, and tell that it has been read."""
        while True:
            header, buffers = self._from.decode(self.socket.recv_multipart(copy=False))
            if header["type"] == "more":
                self._outgoing.confirmed(header)
                continue
            if header["type"] == "part":
                whole = self._incoming.take(header, buffers)
                self._outgoing.pass_by(self._incoming.confirmation)
                if whole is None:
                    continue
                header, buffers = self._from.decode(whole)
            if self.sequence.accept(header) == "deliver":
                break  # the others were sent again
        if "n" in header:
            self.send({"type": "ack"})
        return header, buffers

    def read_replies(self, count: int) -> dict[int, tuple[JsonDict, list[Any]]]:
        """Read on until so many replies have come."""
        replies: dict[int, tuple[JsonDict, list[Any]]] = {}
        while len(replies) < count:
            header, buffers = self.read()
            if header["type"] == "reply":
                assert header["to"] not in replies
                replies[header["to"]] = header, buffers
        return replies

    def close(self) -> None:
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
