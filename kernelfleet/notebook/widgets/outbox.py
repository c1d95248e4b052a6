"""What the user does with widgets, on its way to the engines: one message at a time for each. Pure.

A slider that is dragged says more than an engine can take. While the engine is at one message, a
change of the same properties takes the place of the one before it, if nothing came in between:
a click that follows a change must find it made.

The frontend waits for the echo of the last change of each property (ipywidgets 8). So a change is
merged only with one that includes all of its properties; the echo then names the right message.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import CommMessage, is_update, state_in


@dataclass(slots=True)
class Entry:
    """A message of the frontend.

    Attributes:
        here: The comm's id in the frontend.
        said: The message, in the engine's ids.
        parent: The frontend's message, whose effects name it.
    """

    here: str
    said: CommMessage
    parent: JsonDict = field(default_factory=dict)


class Outbox:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[Entry]] = defaultdict(deque)
        self._in_flight: dict[int, Entry] = {}

    def add(self, engine: int, entry: Entry) -> None:
        """Queue a message; ``next`` says when it is to be sent."""
        waiting = self._waiting[engine]
        if waiting and _may_replace(waiting[-1].said, entry.said):
            waiting[-1] = entry
        else:
            waiting.append(entry)

    def next(self, engine: int) -> Entry | None:
        """The message to send now; None if one is on its way, or there is none."""
        if engine in self._in_flight or not self._waiting[engine]:
            return None
        self._in_flight[engine] = self._waiting[engine].popleft()
        return self._in_flight[engine]

    def done(self, engine: int) -> None:
        """The message on its way to an engine has been dealt with."""
        self._in_flight.pop(engine, None)

    def in_flight(self, engine: int) -> Entry | None:
        """The message that an engine is at."""
        return self._in_flight.get(engine)

    def forget(self, engine: int) -> None:
        """The engine is gone: what waits for it is of no use."""
        self._waiting.pop(engine, None)


def _may_replace(before: CommMessage, said: CommMessage) -> bool:
    if before.comm_id != said.comm_id or not (is_update(before) and is_update(said)):
        return False
    old, new = state_in(before), state_in(said)
    return old is not None and new is not None and _keys(old.values) <= _keys(new.values)


def _keys(values: dict[str, Any]) -> set[str]:
    return set(values)
