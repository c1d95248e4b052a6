"""Client protocol messages as frames: ``[signature, header, buffer, buffer, ...]``.

The header is JSON and is signed; it says how many buffers follow. The buffers are opaque and are
not signed: CURVE (TCP) or the file system (Unix socket) keeps others away from them. Nothing here
unpickles anything.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from typing import Any

from kernelfleet.wire.messages import JsonDict

#: A header larger than this is refused before it is parsed.
MAX_HEADER_BYTES = 256 * 1024 * 1024


class BadMessage(ValueError):
    """Frames that are no message of this protocol, or not signed with our key."""


class Codec:
    """Signs and packs with one key; both directions use the same."""

    def __init__(self, key: bytes) -> None:
        self._hmac = hmac.new(key, digestmod="sha256")

    def _sign(self, header: bytes | bytearray) -> bytes:
        digest = self._hmac.copy()
        digest.update(header)
        return digest.digest()

    def encode(self, header: JsonDict, buffers: Sequence[Any] = ()) -> list[Any]:
        """Frames of one message; the buffers are passed on as they are.

        Raises:
            BadMessage: the header is larger than anybody takes.
        """
        packed = json.dumps({**header, "buffers": len(buffers)}, separators=(",", ":")).encode()
        if len(packed) > MAX_HEADER_BYTES:
            raise BadMessage(f"a header of {len(packed)} bytes; the limit is {MAX_HEADER_BYTES}")
        return [self._sign(packed), packed, *buffers]

    def decode(self, frames: Sequence[Any]) -> tuple[JsonDict, list[Any]]:
        """Check the signature and unpack the header.

        Args:
            frames: Bytes, byte arrays or pyzmq frames, without routing ids.

        Raises:
            BadMessage: anything that is not a well-formed message signed with this key.
        """
        if len(frames) < 2:
            raise BadMessage(f"{len(frames)} frames, at least 2 needed")
        signature, packed = _plain(frames[0]), _plain(frames[1])
        if len(packed) > MAX_HEADER_BYTES:
            raise BadMessage(f"a header of {len(packed)} bytes; the limit is {MAX_HEADER_BYTES}")
        if not hmac.compare_digest(signature, self._sign(packed)):
            raise BadMessage("wrong signature")
        try:
            header = json.loads(packed)
        except (ValueError, RecursionError) as error:
            raise BadMessage(f"the header is no JSON we can take: {error}") from None
        if not isinstance(header, dict) or not isinstance(header.get("type"), str):
            raise BadMessage("the header is no object with a type")
        buffers = header.pop("buffers", None)
        if not _is_count(buffers) or buffers != len(frames) - 2:
            raise BadMessage("buffers are missing or too many")
        if not _is_count(header.get("ack", 0)) or not _is_count(header.get("n", 1)):
            raise BadMessage("n or ack is no number of a message")
        return header, list(frames[2:])


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _plain(frame: Any) -> bytes | bytearray:
    return frame if isinstance(frame, (bytes, bytearray)) else bytes(frame.bytes)
