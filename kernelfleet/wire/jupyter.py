"""Jupyter messages as frames: what the controller says to kernels and hears from them.

``Session`` of jupyter_client packs and signs. Reading is done here: ``Session.deserialize``
turns every date into an object (two thirds of its time), which nobody in the fleet looks at.

Not the protocol between client and controller; that is ``codec.py`` and ``handshake.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from jupyter_client.session import DELIM, Session

from kernelfleet.wire.packable import MAX_DEPTH, nested_too_deep

JsonDict = dict[str, Any]


class BadKernelMessage(ValueError):
    """Frames that are no signed Jupyter message of this fleet."""


@dataclass(slots=True)
class KernelMessage:
    """One message of a kernel, its buffers untouched."""

    identities: list[bytes]
    msg_type: str
    session: str
    parent_id: str
    content: JsonDict
    metadata: JsonDict
    buffers: list[Any]
    #: Why the content was not taken; it says so as an error then.
    problem: str = ""


def make_session(key: bytes, session_id: str) -> Session:
    """A ``Session`` that only packs and signs.

    Its history of digests is off: 65,536 of them cost 9 MB and 53 ms at each cull
    (jupyter_client 8.10), and ZMQ over ipc replays nothing.
    """
    return Session(
        key=key, session=session_id, username="kernelfleet", digest_history_size=0, check_pid=False
    )


def encode(session: Session, msg_type: str, content: JsonDict) -> tuple[str, list[bytes]]:
    """Pack and sign one request; the frames may be sent to any number of kernels.

    Returns:
        The msg_id, and the frames from the delimiter on.
    """
    message = session.msg(msg_type, content)
    return message["msg_id"], session.serialize(message)


def decode(session: Session, frames: Sequence[Any]) -> KernelMessage:
    """Check and unpack the frames of one received message.

    Args:
        session: Holds the key the message must be signed with.
        frames: Bytes or pyzmq frames, identities or topic first.

    Raises:
        BadKernelMessage: no delimiter, too few frames, a wrong signature, or no JSON.
    """
    raw = [_bytes(frame) for frame in frames[:7]]
    try:
        start = raw.index(DELIM)
    except ValueError:
        raise BadKernelMessage("no delimiter") from None
    parts = raw[start + 1 : start + 6]
    if len(parts) < 5:
        parts = [_bytes(frame) for frame in frames[start + 1 : start + 6]]
    if len(parts) < 5:
        raise BadKernelMessage(f"{len(parts)} parts after the delimiter, 5 needed")
    if session.auth is not None and not compare_digest(parts[0], session.sign(parts[1:5])):
        raise BadKernelMessage("wrong signature")
    try:
        header, parent, metadata = map(session.unpack, parts[1:4])
        message = KernelMessage(
            identities=raw[:start],
            msg_type=header["msg_type"],
            session=header.get("session", ""),
            parent_id=parent.get("msg_id", "") if parent else "",
            metadata=metadata,
            content={},
            buffers=list(frames[start + 6 :]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadKernelMessage(f"not a Jupyter message: {error}") from error
    texts: tuple[object, ...] = (message.msg_type, message.session, message.parent_id)
    if not isinstance(metadata, dict) or not all(isinstance(each, str) for each in texts):
        raise BadKernelMessage("not a Jupyter message: a field is of the wrong type")
    _take_content(message, session, parts[4])
    return message


def _take_content(message: KernelMessage, session: Session, packed: bytes) -> None:
    """Unpack the content; whoever waits for the message is told if that is not possible."""
    try:
        content = session.unpack(packed)
        if not isinstance(content, dict):
            message.problem = "its content is no object"
        elif nested_too_deep(packed, content):
            message.problem = f"its content is nested deeper than {MAX_DEPTH} levels"
        else:
            message.content = content
    except (ValueError, RecursionError) as error:
        message.problem = f"its content is no JSON we can take: {error}"
    if message.problem:
        message.content = {"status": "error", "ename": "EngineError", "evalue": message.problem}


def _bytes(frame: Any) -> bytes:
    return frame if isinstance(frame, bytes) else bytes(frame.bytes)
