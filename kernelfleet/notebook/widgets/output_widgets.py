"""The Output widgets in the frontend, and when it and the engines are told of their contents.

The frontend is told some times a second. The engine, whose ``Output.outputs`` a frontend keeps up
to date, is told once when nothing more has come for a while. Pure: time is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelfleet.client.results.outputs import Output
from kernelfleet.notebook.widgets.captured import Captured
from kernelfleet.wire.messages import JsonDict

#: How often an Output widget is changed at most.
OUTPUT_SECONDS = 0.1
#: What is shown again each time may be so long at that pace; what is longer is shown less often.
OUTPUT_CHARACTERS = 200_000
#: Of what callbacks put out outside of Output widgets, so much is kept, the latest.
MOST_CHARACTERS = 50_000
#: When nothing more has come for so long, an engine is told what its Output widget shows.
QUIET_SECONDS = 0.3


class OutputWidgets:
    """See the module's docstring. Widgets are known by their ids in the frontend."""

    def __init__(self) -> None:
        self._captured: dict[str, Captured] = {}
        self._frontend_due: dict[str, float] = {}
        self._engine_due: dict[str, float] = {}

    def __contains__(self, here: str) -> bool:
        return here in self._captured

    def open(self, here: str, outputs: Sequence[Output] = ()) -> None:
        """A widget is there, or its program has set what it shows."""
        self._captured[here] = Captured(outputs)
        self._frontend_due.pop(here, None)

    def open_own(self, here: str) -> None:
        """A widget of the bridge's own, in which the latest is enough."""
        self._captured[here] = Captured(most_characters=MOST_CHARACTERS)

    def close(self, here: str) -> None:
        """A widget is gone."""
        for each in (self._captured, self._frontend_due, self._engine_due):
            each.pop(here, None)

    def add(self, here: str, pages: Sequence[Any], now: float) -> None:
        """Outputs that a widget of an engine takes."""
        if here in self._captured:
            self._captured[here].add(pages)
            self._frontend_due.setdefault(here, now + self._pause(here))
            self._engine_due[here] = now + QUIET_SECONDS

    def add_one(self, here: str, msg_type: str, content: JsonDict, now: float) -> None:
        """An output that is shown in a widget of the bridge's own."""
        self._captured[here].add_one(msg_type, content)
        self._frontend_due.setdefault(here, now + self._pause(here))

    def _pause(self, here: str) -> float:
        return OUTPUT_SECONDS * (1 + self._captured[here].characters / OUTPUT_CHARACTERS)

    @property
    def due(self) -> float | None:
        """When somebody is to be told something; None if nothing has come."""
        return min([*self._frontend_due.values(), *self._engine_due.values()], default=None)

    def for_frontend(self, now: float) -> dict[str, list[Output]]:
        """What the frontend is to be told now, by widget."""
        return self._take(self._frontend_due, now)

    def for_engines(self, now: float) -> dict[str, list[Output]]:
        """What engines are to be told now, by widget."""
        return self._take(self._engine_due, now)

    def _take(self, due: dict[str, float], now: float) -> dict[str, list[Output]]:
        taken = [here for here, at in due.items() if at <= now]
        for here in taken:
            del due[here]
        return {here: self._captured[here].outputs() for here in taken}
