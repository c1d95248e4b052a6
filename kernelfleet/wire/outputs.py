"""What a kernel publishes as output, as it travels from the controller to a client: unparsed.

The content of a published message is JSON that only its reader needs to understand. The
controller, which carries the outputs of all engines, takes it as bytes: a large display costs it
its length, not a walk through its millions of numbers.

Messages travel in *pages*, which are frames. A page holds messages one after the other, each
behind a small header: which type it is and how long its content is. A content of its own frame
follows the page that has its header, so that large ones are never copied.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kernelfleet.wire.json_safe import nested_too_deep
from kernelfleet.wire.messages import JsonDict

#: The types that are outputs of a command.
OUTPUT_TYPES = (
    "stream", "display_data", "execute_result", "update_display_data", "clear_output", "error",
)  # fmt: skip
#: What travels in pages; a type's number is its place. A live view also hears what is asked.
_TYPES = (*OUTPUT_TYPES, "input_request")

#: A content from this size on is a frame of its own.
OWN_FRAME_BYTES = 64 * 1024
#: A page is closed when it has grown to this size.
PAGE_BYTES = 64 * 1024

_NUMBERS = {msg_type: number for number, msg_type in enumerate(_TYPES)}
_HEADER = struct.Struct("<BQ")
#: Set in the number of a message whose content is the next frame.
_NEXT_FRAME = 0x80


class BadPages(ValueError):
    """Frames that are no pages."""


class Published(NamedTuple):
    """One published message: its type, and its content as the JSON text that it is."""

    msg_type: str
    content: Any  # bytes-like


def record(msg_type: str, content: bytes) -> bytes:
    """A message as it stands in a page."""
    return _HEADER.pack(_NUMBERS[msg_type], len(content)) + content


def to_pages(msg_type: str, content: Any) -> list[Any]:
    """One message as pages.

    Args:
        msg_type: One of ``OUTPUT_TYPES``, or ``input_request``.
        content: Bytes, or a frame of pyzmq.
    """
    return Pages().add(msg_type, content).frames()


def joined(frames: Sequence[Any]) -> list[Any]:
    """Pages that were made one by one, as fewer pages.

    A content of its own frame stays one, behind the page that has its header.
    """
    pages: list[Any] = []
    is_open = False
    for frame in frames:
        is_small = len(frame) < OWN_FRAME_BYTES
        if is_small and is_open and len(pages[-1]) < PAGE_BYTES:
            pages[-1] += as_bytes(frame)
        else:
            pages.append(bytearray(as_bytes(frame)) if is_small else frame)
        is_open = is_small
    return pages


class Pages:
    """Puts messages into frames."""

    def __init__(self) -> None:
        self._closed: list[Any] = []
        self._open = bytearray()

    def add(self, msg_type: str, content: Any) -> Pages:
        """Append one message."""
        size = len(content)
        if size < OWN_FRAME_BYTES:
            return self.add_records(record(msg_type, as_bytes(content)))
        self._open += _HEADER.pack(_NUMBERS[msg_type] | _NEXT_FRAME, size)
        self._close()
        self._closed.append(content)
        return self

    def add_records(self, records: bytes | bytearray) -> Pages:
        """Append messages that are in the form of ``record`` already."""
        self._open += records
        if len(self._open) >= PAGE_BYTES:
            self._close()
        return self

    def frames(self) -> list[Any]:
        """All that was added."""
        self._close()
        return self._closed

    def _close(self) -> None:
        if self._open:
            self._closed.append(bytes(self._open))
            self._open = bytearray()


def read_pages(frames: Sequence[Any]) -> Iterator[Published]:
    """The messages of pages, in order.

    Raises:
        BadPages: they were made by nobody who knows how.
    """
    rest = iter(frames)
    for frame in rest:
        page = memoryview(getattr(frame, "buffer", frame))
        at = 0
        while at < len(page):
            try:
                number, size = _HEADER.unpack_from(page, at)
                msg_type = _TYPES[number & ~_NEXT_FRAME]
            except (struct.error, IndexError) as error:
                raise BadPages(f"no header of an output: {error}") from None
            at += _HEADER.size
            if number & _NEXT_FRAME:
                content = memoryview(getattr(following := next(rest, b""), "buffer", following))
            else:
                content, at = page[at : at + size], at + size
            if len(content) != size:
                raise BadPages(f"an output of {len(content)} bytes that says it has {size}")
            yield Published(msg_type, content)


def content_of(published: Published) -> JsonDict | None:
    """The content of a message, unpacked; None if it has not the form of its type.

    Kernels run the user's code and may be broken: what cannot be shown is left out.
    """
    packed = bytes(published.content)
    try:
        content = json.loads(packed)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or nested_too_deep(packed, content):
        return None
    return content if _has_its_form(published.msg_type, content) else None


def _has_its_form(msg_type: str, content: JsonDict) -> bool:
    if msg_type == "error":
        return content.get("traceback") is None or isinstance(content["traceback"], list)
    if msg_type in ("display_data", "execute_result", "update_display_data"):
        parts = (content.get(name) for name in ("data", "metadata", "transient"))
        return all(part is None or isinstance(part, dict) for part in parts)
    return True


def as_bytes(content: Any) -> bytes:
    """A content of its own memory; a small frame of pyzmq would keep a larger one alive."""
    return content if isinstance(content, bytes) else bytes(getattr(content, "buffer", content))
