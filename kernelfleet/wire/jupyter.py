"""Jupyter messages as frames: what the controller says to kernels and hears from them.

``Session`` of jupyter_client packs and signs. Reading is done here: ``Session.deserialize``
turns every date into an object (two thirds of its time), which nobody in the fleet looks at. And
the content is unpacked when somebody asks for it, as most of what kernels publish is only carried.

What only controller and engines say to each other, their own requests and the replies, travels in
a compact form: one signed part has the type, the id and the content.

Not the protocol between client and controller; that is ``codec.py`` and ``handshake.py``.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from typing import Any

from jupyter_client.session import DELIM, Session

from kernelfleet.wire.json_safe import MAX_DEPTH, nested_too_deep
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.outputs import OWN_FRAME_BYTES, as_bytes

#: What a message in the compact form has in the place of Jupyter's delimiter.
COMPACT = b"<KF|MSG>"

#: As jupyter_client's packer (8.10) writes JSON, which makes an encoder anew for each message.
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

#: No kernel has so much to say about a message itself.
MAX_HEADER_BYTES = 1024 * 1024


class BadKernelMessage(ValueError):
    """Frames that are no signed Jupyter message of this fleet."""


class KernelMessage:
    """One message of a kernel, its buffers untouched and its content packed.

    Attributes:
        packed: The content as it came: bytes, or a frame of pyzmq if it is large.
    """

    __slots__ = (
        "_content", "_problem", "_unpack", "buffers", "identities", "metadata", "msg_type",
        "packed", "parent_id", "session",
    )  # fmt: skip

    def __init__(
        self,
        identities: list[bytes],
        msg_type: str,
        session: str,
        parent_id: str,
        metadata: JsonDict,
        buffers: list[Any],
        packed: Any = b"{}",
        *,
        unpack: Callable[[bytes], Any] = json.loads,
        problem: str = "",
    ) -> None:
        self.identities, self.msg_type, self.session = identities, msg_type, session
        self.parent_id, self.metadata, self.buffers = parent_id, metadata, buffers
        self.packed = packed
        self._unpack = unpack
        self._content: JsonDict | None = None
        self._problem = ""
        if problem:
            self.mark_malformed(problem)

    @property
    def content(self) -> JsonDict:
        """The content; in its place an error where it cannot be taken."""
        if self._content is None:
            self._take_content()
        assert self._content is not None
        return self._content

    @property
    def problem(self) -> str:
        """Why the content was not taken; empty if it was."""
        if self._content is None:
            self._take_content()
        return self._problem

    def mark_malformed(self, problem: str) -> None:
        """Note that the content cannot be used; it says so as an error then."""
        self._problem = problem
        self._content = {"status": "error", "ename": "EngineError", "evalue": problem}

    def _take_content(self) -> None:
        packed = as_bytes(self.packed)
        try:
            content = self._unpack(packed)
        except (ValueError, RecursionError) as error:
            self.mark_malformed(f"its content is no JSON we can take: {error}")
            return
        if not isinstance(content, dict):
            self.mark_malformed("its content is no object")
        elif nested_too_deep(packed, content):
            self.mark_malformed(f"its content is nested deeper than {MAX_DEPTH} levels")
        else:
            self._content = content


def make_session(key: bytes, session_id: str) -> Session:
    """A ``Session`` that only packs and signs.

    Its history of digests is off: 65,536 of them cost 9 MB and 53 ms at each cull
    (jupyter_client 8.10), and ZMQ over ipc replays nothing.
    """
    return Session(
        key=key, session=session_id, username="kernelfleet", digest_history_size=0, check_pid=False
    )


def encode(
    session: Session,
    msg_type: str,
    content: JsonDict,
    metadata: JsonDict | None = None,
    *,
    own: bool = False,
) -> tuple[str, list[bytes]]:
    """Pack and sign one request; the frames may be sent to any number of kernels.

    Our own types of messages have the compact form for our ``own`` kernels.

    Returns:
        The msg_id, and the frames from the delimiter on.
    """
    if own and msg_type.startswith("fleet_"):
        msg_id = session.msg_id
        return msg_id, encode_compact(session, msg_type, msg_id, content)
    message = session.msg(msg_type, content, metadata=metadata)
    return message["msg_id"], session.serialize(message)


def encode_compact(session: Session, msg_type: str, msg_id: str, content: JsonDict) -> list[bytes]:
    """Pack and sign a message in the compact form.

    Args:
        session: Has the key.
        msg_type: The type.
        msg_id: The id of a request; for a reply, the id of the request that it answers.
        content: The content.

    Returns:
        The frames; those of the data follow them.
    """
    try:
        packed = _to_json(content).encode()
    except (TypeError, ValueError):  # a date, a number that is none, half a surrogate pair
        packed = session.pack(content)
    part = f"{msg_type} {msg_id}\n".encode() + packed
    return [COMPACT, _sign_compact(session, part), part]


def _sign_compact(session: Session, part: bytes) -> bytes:
    """The signature of a message in the compact form; empty where the fleet has no key."""
    key = session.key
    return hmac.digest(key, COMPACT + part, "sha256").hex().encode() if key else b""


def is_compact(frames: Sequence[Any]) -> bool:
    """Whether a message, with one identity in front, is in the compact form."""
    return len(frames) >= 4 and len(frames[1]) == len(COMPACT) and _bytes(frames[1]) == COMPACT


def open_compact(session: Session, frames: Sequence[Any]) -> tuple[str, str, bytes]:
    """Check the signature of a message in the compact form.

    Returns:
        The type, the id and the packed content.

    Raises:
        BadKernelMessage: a wrong signature, or it is none of this form.
    """
    signature, part = _bytes(frames[2]), _bytes(frames[3])
    if not hmac.compare_digest(signature, _sign_compact(session, part)):
        raise BadKernelMessage("wrong signature")
    head, _, packed = part.partition(b"\n")
    try:
        msg_type, msg_id = head.decode("ascii").split(" ")
    except ValueError as error:
        raise BadKernelMessage(f"not a message of kernelfleet's: {error}") from error
    return msg_type, msg_id, packed


def decode(session: Session, frames: Sequence[Any]) -> KernelMessage:
    """Check and unpack the frames of one received message, in either form.

    Args:
        session: Holds the key the message must be signed with.
        frames: Bytes or pyzmq frames, identities or topic first.

    Raises:
        BadKernelMessage: no delimiter, too few frames, a wrong signature, or no JSON.
    """
    if is_compact(frames):
        msg_type, msg_id, packed = open_compact(session, frames)
        identities, buffers = [_bytes(frames[0])], list(frames[4:])
        return KernelMessage(
            identities, msg_type, "", msg_id, {}, buffers, packed, unpack=session.unpack
        )
    for start, frame in enumerate(frames):  # noqa: B007 (it is where the loop has ended)
        if len(frame) == len(DELIM) and _bytes(frame) == DELIM:
            break
    else:
        raise BadKernelMessage("no delimiter")
    parts = frames[start + 1 : start + 6]
    if len(parts) < 5:
        raise BadKernelMessage(f"{len(parts)} parts after the delimiter, 5 needed")
    if max(map(len, parts[:4])) > MAX_HEADER_BYTES:
        raise BadKernelMessage(f"a header of more than {MAX_HEADER_BYTES} bytes")
    signature, *heads = map(_bytes, parts[:4])
    packed = parts[4] if len(parts[4]) >= OWN_FRAME_BYTES else _bytes(parts[4])
    signed = [*heads, getattr(packed, "buffer", packed)]
    if session.auth is not None and not hmac.compare_digest(signature, session.sign(signed)):
        raise BadKernelMessage("wrong signature")
    try:
        header, parent, metadata = map(session.unpack, heads)
        message = KernelMessage(
            identities=[_bytes(frame) for frame in frames[:start]],
            msg_type=header["msg_type"],
            session=header.get("session", ""),
            parent_id=parent.get("msg_id", "") if parent else "",
            metadata=metadata,
            buffers=list(frames[start + 6 :]),
            packed=packed,
            unpack=session.unpack,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadKernelMessage(f"not a Jupyter message: {error}") from error
    texts: tuple[object, ...] = (message.msg_type, message.session, message.parent_id)
    if not isinstance(metadata, dict) or not all(isinstance(each, str) for each in texts):
        raise BadKernelMessage("not a Jupyter message: a field is of the wrong type")
    return message


def _bytes(frame: Any) -> bytes:
    return frame if isinstance(frame, bytes) else bytes(frame.bytes)
