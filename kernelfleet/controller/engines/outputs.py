"""Collects the outputs of one request as packed messages, until they are asked for.

The client unpacks and combines them (``client/results/outputs.py``). Outputs that no client would
see any more are dropped: a display that has been cleared or updated since. So a program that
redraws one picture for days takes no more memory than the picture. Printed text is kept, even if
it was cleared.

Pure: no sockets, no clock. One ``OutputLog`` per request; the caller sorts messages by request
and engine.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kernelfleet.wire.buffers.frames import frame_bytes
from kernelfleet.wire.operations import message_type
from kernelfleet.wire.outputs import OWN_FRAME_BYTES, PAGE_BYTES, Pages, as_bytes, record

#: The memory that a message takes beside its content.
OVERHEAD_BYTES = 100

#: How much of a kernel's output is read before that is confirmed to the kernel.
CONFIRM_BYTES = 128 * 1024

#: The end of the packed content of a display with an id, in the order in which kernels write it. At
#: the very end of valid JSON this text cannot be part of a string.
_DISPLAY_ID = re.compile(rb'"transient": ?\{"display_id": ?"([^"\\]{1,200})"\}\s*\}\s*\Z')
_DISPLAY_ID_BYTES = 300


@dataclass(slots=True)
class _Message:
    """One message that is not small text."""

    msg_type: str
    content: Any


class OutputLog:
    """The outputs of one request, so far.

    Attributes:
        size_bytes: About how much memory they take.
    """

    def __init__(self) -> None:
        self.size_bytes = 0
        self._keys = itertools.count()
        #: In order: a run of small pieces of text, or a message. A dict, as any may be dropped.
        self._entries: dict[int, bytearray | _Message] = {}
        self._last_text: bytearray | None = None
        #: Where the latest update of each display is.
        self._updates: dict[bytes, int] = {}
        self._clear_before_next = False

    def add(self, msg_type: str, content: Any) -> None:
        """Keep one message.

        Args:
            msg_type: One of ``wire.outputs.OUTPUT_TYPES``.
            content: Its content as it came, packed: bytes, or a frame of pyzmq.
        """
        if msg_type == "clear_output":
            self._clear(content)
            return
        if msg_type != "update_display_data":
            self._clear_if_due()
        if msg_type == "stream" and len(content) < OWN_FRAME_BYTES:
            self._add_text(record(msg_type, as_bytes(content)))
            return
        display_id = _display_id(content) if msg_type != "stream" else None
        if display_id is not None and display_id in self._updates:
            self._drop(self._updates.pop(display_id))
        key = self._put(_Message(msg_type, content))
        if display_id is not None and msg_type == "update_display_data":
            self._updates[display_id] = key

    def frames(self) -> list[Any]:
        """All of them as pages; see ``wire.outputs``."""
        pages = Pages()
        for entry in self._entries.values():
            if isinstance(entry, _Message):
                pages.add(entry.msg_type, entry.content)
            else:
                pages.add_records(entry)
        return pages.frames()

    def _add_text(self, text: bytes | bytearray) -> None:
        self.size_bytes += len(text)
        if self._last_text is not None and len(self._last_text) + len(text) <= PAGE_BYTES:
            self._last_text += text
        else:
            self._last_text = text if isinstance(text, bytearray) else bytearray(text)
            self._entries[next(self._keys)] = self._last_text

    def _put(self, message: _Message) -> int:
        key = next(self._keys)
        self._entries[key] = message
        self._last_text = None
        self.size_bytes += OVERHEAD_BYTES + frame_bytes(message.content)
        return key

    def _drop(self, key: int) -> None:
        message = self._entries.pop(key)
        assert isinstance(message, _Message)
        self.size_bytes -= OVERHEAD_BYTES + frame_bytes(message.content)

    def _clear(self, content: Any) -> None:
        if len(content) >= OWN_FRAME_BYTES:
            return  # no kernel sends so much here
        try:
            wait = json.loads(as_bytes(content)).get("wait")
        except (ValueError, RecursionError, AttributeError):
            return  # nobody could read it
        self._clear_before_next = True
        if not wait:
            self._clear_if_due()

    def _clear_if_due(self) -> None:
        """Drop displays; printed text is kept and joined."""
        if not self._clear_before_next:
            return
        self._clear_before_next = False
        kept, self._entries = self._entries, {}
        self._updates.clear()
        self.size_bytes, self._last_text = 0, None
        for entry in kept.values():
            if not isinstance(entry, _Message):
                self._add_text(entry)
            elif entry.msg_type == "stream":
                self._put(entry)
        self._put(_Message("clear_output", b'{"wait": false}'))


class ReadBytes:
    """Confirms to kernelfleet's own kernel how much of its output was read: it waits for that.

    Args:
        tell: Sends a message to the kernel; None for a kernel that does not know this one.
    """

    def __init__(self, tell: Callable[[str, str, dict[str, Any]], object] | None) -> None:
        self._tell, self._count = tell, 0

    def add(self, size: int) -> None:
        """Count bytes that were read."""
        self._count += size
        if self._tell is not None and self._count >= CONFIRM_BYTES:
            self._tell("control", message_type("read"), {"bytes": self._count})
            self._count = 0


def _display_id(content: Any) -> bytes | None:
    view = memoryview(getattr(content, "buffer", content))
    found = _DISPLAY_ID.search(bytes(view[-_DISPLAY_ID_BYTES:]))
    return None if found is None else found[1]
