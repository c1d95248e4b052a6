"""A client by hand, beside a server on one loop; it can say what no client says."""

from __future__ import annotations

import asyncio
from typing import Any

import zmq

from kernelfleet.wire.codec import Codec
from kernelfleet.wire.handshake import (
    PLAIN_USERNAME,
    ConnectionCodecs,
    connection_codecs,
    new_nonce,
    plain_password,
)
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.versions import PROTOCOL_VERSION


class Talk:
    """One connection: ``greet`` and ``open`` it, or do not."""

    def __init__(
        self, context: zmq.Context[Any], url: str, key: bytes, client_id: str = "me"
    ) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.plain_username = PLAIN_USERNAME
        self.socket.plain_password = plain_password(key).encode()
        self.socket.connect(url)
        self.client_id, self.nonce = client_id, new_nonce()
        self.key, self._fleet = key, Codec(key)
        #: The keys of the line, once it has them.
        self.codecs: ConnectionCodecs | None = None
        #: Everything that was sent, as it went out.
        self.spoken: list[list[Any]] = []

    @property
    def hello(self) -> JsonDict:
        """The first message of a line."""
        header = {"type": "hello", "version": PROTOCOL_VERSION}
        return {**header, "client": self.client_id, "nonce": self.nonce}

    def send(self, header: JsonDict, buffers: tuple[bytes, ...] = ()) -> None:
        """Sign and send a message, with the line's key if there is one."""
        codec = self._fleet if self.codecs is None else self.codecs.to_controller
        self.say(codec.encode(header, buffers))

    def say(self, frames: list[Any]) -> None:
        """Send frames as they are."""
        self.spoken.append(frames)
        self.socket.send_multipart(frames)

    async def greet(self) -> None:
        """Hello and challenge: the line has its keys."""
        self.send(self.hello)
        challenge = (await self.receive("challenge"))["challenge"]
        self.codecs = connection_codecs(self.key, self.client_id, self.nonce, challenge)

    async def open(self, session: str | None = None, ack: int = 0, **fields: Any) -> JsonDict:
        """Greet, and open the line for a session; gives the welcome."""
        await self.greet()
        self.send({"type": "open", "session": session, "ack": ack, **fields})
        return await self.receive("pong" if fields.get("side") else "welcome")

    async def receive(self, kind: str, seconds: float = 10.0) -> JsonDict:
        """The next message of this type; others are passed over."""
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            if self.socket.poll(0):
                codec = self._fleet if self.codecs is None else self.codecs.to_client
                header, _ = codec.decode(self.socket.recv_multipart())
                if header["type"] == kind:
                    return header
            await asyncio.sleep(0.002)
        raise TimeoutError(kind)
