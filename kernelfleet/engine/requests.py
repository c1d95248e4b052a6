"""The fleet's requests on the wire: recognised cheaply, checked, answered.

``Session.deserialize`` spends most of its time on dates that nobody reads here; signatures are
checked all the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

import zmq
from jupyter_client.session import DELIM, Session

from kernelfleet import __version__
from kernelfleet.errors.text import shortened, text_of
from kernelfleet.errors.tree import UnsupportedOperation
from kernelfleet.wire.objects.serialize import pack
from kernelfleet.wire.objects.shared_memory import to_frames

_FLEET = b'"fleet_'


@dataclass
class Request:
    """One request of the fleet."""

    idents: list[bytes]
    header: dict[str, Any]
    content: dict[str, Any]
    buffers: list[Any]
    received: float

    @property
    def msg_type(self) -> str:
        """What is asked for."""
        return str(self.header["msg_type"])

    @property
    def msg_id(self) -> str:
        """The id that replies and output carry as their parent's."""
        return str(self.header["msg_id"])

    def as_parent(self) -> dict[str, Any]:
        """Return the message as ipykernel knows it."""
        return {
            "header": self.header,
            "msg_id": self.msg_id,
            "msg_type": self.msg_type,
            "parent_header": {},
            "metadata": {},
            "content": self.content,
            "buffers": [],
        }


@dataclass
class Answer:
    """The content of a reply and its buffers."""

    content: dict[str, Any]
    buffers: Sequence[Any] = ()


def parse(session: Session, frames: Sequence[Any]) -> Request | None:
    """Read a request of the fleet; None if it is some other message.

    Raises:
        ValueError: the signature is wrong or the message is malformed.
    """
    at = _delimiter(frames)
    if at is None or len(frames) < at + 6 or _FLEET not in frames[at + 2].bytes:
        return None
    parts = [frame.bytes for frame in frames[at + 2 : at + 6]]
    header = session.unpack(parts[0])
    if not str(header.get("msg_type", "")).startswith("fleet_"):
        return None
    if session.auth is not None and not compare_digest(frames[at + 1].bytes, session.sign(parts)):
        raise ValueError("invalid signature")
    return Request(
        idents=[frame.bytes for frame in frames[:at]],
        header=header,
        content=session.unpack(parts[3]),
        buffers=list(frames[at + 6 :]),
        received=time.time(),
    )


def _delimiter(frames: Sequence[Any]) -> int | None:
    for index, frame in enumerate(frames):
        if len(frame) == len(DELIM) and frame.bytes == DELIM:
            return index
    return None


def reply(session: Session, stream: Any, request: Request, answer: Answer) -> None:
    """Send the answer to the asker and see that it leaves at once."""
    answer.content.setdefault("started", request.received)
    answer.content["completed"] = time.time()
    msg_type = request.msg_type.replace("_request", "_reply")
    message = session.msg(msg_type, answer.content, parent=request.as_parent())
    frames: list[Any] = session.serialize(message, request.idents)
    frames += to_frames(answer.buffers, shared=True)
    if os.getpid() != session.pid or stream.sending():
        # A forked child, which must not answer for its parent (Session.send sees to that), or
        # something waits to be sent before us.
        session.send(
            stream, message, ident=request.idents, buffers=frames[len(request.idents) + 6 :]
        )
        stream.flush(zmq.POLLOUT)
        return
    # Straight to the socket: a ZMQStream takes a turn of the loop and two polls for it. What had
    # arrived meanwhile must be looked for, as a send eats the edge that would have told.
    stream.socket.send_multipart(frames, copy=not answer.buffers)
    if stream.socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
        stream.io_loop.add_callback(stream.flush, zmq.POLLIN)


def unknown(request: Request) -> Answer:
    """The answer to a request of a controller that knows more operations than this engine."""
    text = f"this engine (kernelfleet {__version__}) knows no {request.msg_type}"
    return error_answer(UnsupportedOperation(text), kind="engine")


def error_answer(error: BaseException, lines: Sequence[str] = (), *, kind: str = "user") -> Answer:
    """Describe an error; the exception itself goes along if it can be pickled.

    KeyboardInterrupt, SystemExit and their like never go along: they must not end the caller.
    """
    buffers: Sequence[Any] = ()
    if isinstance(error, Exception):
        try:
            buffers = pack(error)
        except Exception:  # noqa: BLE001 - the user's class takes part
            buffers = ()
    content = {
        "status": "error",
        "ename": type(error).__name__,
        "evalue": shortened(text_of(error)),
        "traceback": list(lines),
        "kind": kind,
    }
    return Answer(content, buffers)
