"""What waits for one bridge: comm messages of engines, of which as few are kept as say it all.

Frontends draw some ten times a second, and lose messages if too many come at once. Later values of
a widget's properties take the place of earlier ones. This never crosses another message of the
same comm, and the merged update always stands at the later place: what it names may have been
opened in between.

Pure: no sockets, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from kernelfleet.wire.messages.comms import (
    CLOSE,
    MESSAGE,
    OPEN,
    OUTPUT,
    CommMessage,
    is_update,
    merged,
)
from kernelfleet.wire.outputs import joined, to_pages

#: A bridge that does not read gets no more than so much, beside the last state of each widget.
MAX_BYTES = 64 * 1024 * 1024

OUTPUT_LEFT_OUT = "[output was left out here, as it came faster than the notebook reads]\n"
NOT_READ = "the notebook did not read the messages of this widget, of which there were too many"

Key = tuple[int, str]


class Pending:
    """The messages for one bridge, by engine and in order.

    Args:
        on_given_up: Told of a comm that was closed because its messages are not read.
    """

    def __init__(self, on_given_up: Callable[[int, str], object] = lambda *_: None) -> None:
        self._messages: list[tuple[int, CommMessage] | None] = []
        #: Where the last message of each comm stands.
        self._last: dict[Key, int] = {}
        self._opened_here: set[Key] = set()
        #: Output widgets of which some output was left out.
        self._left_out: set[Key] = set()
        self._size_bytes = 0
        self._on_given_up = on_given_up

    def __bool__(self) -> bool:
        return bool(self._messages)

    def add(self, engine_id: int, said: CommMessage) -> None:
        """Take one more message."""
        key = engine_id, said.comm_id
        if said.msg_type == CLOSE and key in self._opened_here:
            self._forget(key)
            return
        place = self._last.get(key)
        before = None if place is None else self._messages[place]
        if is_update(said):
            if place is not None and before is not None and is_update(before[1]):
                self._put_away(place)
                said = merged(before[1], said)
        elif said.msg_type == OUTPUT:
            self._add_output(key, before and before[1], said)
            return
        elif said.msg_type == MESSAGE and self._is_too_much(said):
            self._give_up(key)
            return
        self._append(key, said)

    def take(self) -> list[tuple[int, CommMessage]]:
        """All that waits, which then waits no more."""
        taken = [each for each in self._messages if each is not None]
        self._messages, self._last = [], {}
        self._opened_here, self._left_out, self._size_bytes = set(), set(), 0
        for _, said in taken:
            if said.msg_type == OUTPUT:
                said.buffers = joined(said.buffers)
        return taken

    def _add_output(self, key: Key, before: CommMessage | None, said: CommMessage) -> None:
        if key in self._left_out:
            return
        if self._is_too_much(said):
            self._left_out.add(key)
            note = json.dumps({"name": "stderr", "text": OUTPUT_LEFT_OUT}).encode()
            said = CommMessage(OUTPUT, key[1], buffers=to_pages("stream", note))
        if before is None or before.msg_type != OUTPUT:
            # (a list of its own: other bridges have the same message)
            self._append(key, replace(said, buffers=list(said.buffers)))
            return
        before.buffers += said.buffers
        before.size_bytes += said.size_bytes
        self._size_bytes += said.size_bytes

    def _append(self, key: Key, said: CommMessage) -> None:
        if said.msg_type == OPEN:
            self._opened_here.add(key)
        self._last[key] = len(self._messages)
        self._messages.append((key[0], said))
        self._size_bytes += said.size_bytes

    def _put_away(self, place: int) -> None:
        message = self._messages[place]
        assert message is not None
        self._size_bytes -= message[1].size_bytes
        self._messages[place] = None
        if len(self._messages) > 2 * len(self._last) + 1000:
            self._close_gaps()

    def _close_gaps(self) -> None:
        """A widget may be updated a million times while nobody reads."""
        kept = [each for each in self._messages if each is not None]
        places = {
            (engine, said.comm_id): place
            for place, (engine, said) in enumerate(kept)
            if (engine, said.comm_id) in self._last
        }
        self._messages, self._last = list(kept), places

    def _forget(self, key: Key) -> None:
        for place, each in enumerate(self._messages):
            if each is not None and (each[0], each[1].comm_id) == key:
                self._size_bytes -= each[1].size_bytes
                self._messages[place] = None
        self._last.pop(key, None)
        self._opened_here.discard(key)

    def _is_too_much(self, said: CommMessage) -> bool:
        return self._size_bytes + said.size_bytes > MAX_BYTES and bool(self._messages)

    def _give_up(self, key: Key) -> None:
        was_opened_here = key in self._opened_here
        self._forget(key)
        if not was_opened_here:
            self._append(key, CommMessage(CLOSE, key[1], {"reason": NOT_READ}))
        self._on_given_up(*key)
