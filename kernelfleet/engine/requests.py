"""The fleet's requests on the wire: recognised cheaply, checked, answered.

They travel in the compact form of ``wire/jupyter.py``. All other messages are Jupyter's own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import zmq
from jupyter_client.session import Session

from kernelfleet import __version__
from kernelfleet.errors.text import shortened, text_of
from kernelfleet.errors.tree import UnsupportedOperation
from kernelfleet.wire.buffers.frames import to_frames
from kernelfleet.wire.files.packet_socket import PacketSocket
from kernelfleet.wire.jupyter import encode_compact, is_compact, open_compact
from kernelfleet.wire.objects.serialize import pack
from kernelfleet.wire.outputs import as_bytes
from kernelfleet.wire.pump import send_frames


@dataclass(slots=True)
class Request:
    """One request of the fleet.

    Attributes:
        asker: The routing id of the controller.
        msg_type: What is asked for.
        msg_id: The id that replies and output carry as their parent's.
        content: What is said about it.
        buffers: Its data.
        received: When it came, in seconds since the epoch.
    """

    asker: bytes
    msg_type: str
    msg_id: str
    content: dict[str, Any]
    buffers: list[Any]
    received: float

    def as_parent(self) -> dict[str, Any]:
        """Return the message as ipykernel knows it, for the parent header of what is published."""
        header = {
            "msg_id": self.msg_id,
            "msg_type": self.msg_type,
            "username": "kernelfleet",
            "session": self.asker.decode("ascii", "replace"),
            "date": datetime.fromtimestamp(self.received, UTC).isoformat(),
            "version": "5.3",
        }
        return {
            "header": header,
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
    if not is_compact(frames):
        return None
    msg_type, msg_id, packed = open_compact(session, frames)
    return Request(
        asker=as_bytes(frames[0]),
        msg_type=msg_type,
        msg_id=msg_id,
        content=session.unpack(packed),
        buffers=list(frames[4:]),
        received=time.time(),
    )


def reply(
    session: Session,
    stream: Any,
    request: Request,
    answer: Answer,
    packets: PacketSocket | None = None,
) -> None:
    """Send the answer to the asker at once, as a packet if there are packets and it fits into one.

    Sending takes away the sign that the socket can be read: the caller looks whether it can.
    """
    if os.getpid() != session.pid:
        return  # a forked child, which must not answer for its parent
    answer.content.setdefault("started", request.received)
    answer.content["completed"] = time.time()
    msg_type = request.msg_type.replace("_request", "_reply")
    frames: list[Any] = [
        request.asker,
        *encode_compact(session, msg_type, request.msg_id, answer.content),
        *to_frames(answer.buffers, shared=True),
    ]
    if packets is not None and packets.send(frames[1:]):
        return
    if stream.sending():  # something waits to be sent before us
        stream.send_multipart(frames, copy=False)
        stream.flush(zmq.POLLOUT)
        return
    # Straight to the socket: a ZMQStream takes a turn of the loop and two polls for it.
    send_frames(stream.socket, frames)


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
