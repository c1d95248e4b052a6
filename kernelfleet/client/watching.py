"""Looks at a fleet again and again: its engines, and what they have worked on meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelfleet.client.usage import Meter
from kernelfleet.results import EngineList
from kernelfleet.timeline import Span, Timeline

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient

#: How long the controller may take to answer a question that involves no engine, in seconds.
ASK_SECONDS = 30.0


@dataclass(frozen=True)
class Look:
    """A fleet at one moment.

    Attributes:
        engines: Its engines; ``cpu_percent`` is that since the look before.
        timeline: What they have worked on in the last seconds.
        start: When these seconds began, by the clock of the controller.
        now: When they ended.
    """

    engines: EngineList
    timeline: Timeline
    start: float
    now: float


class Watch:
    """Looks at a fleet again and again, and asks only for what is new.

    Args:
        client: A client of the fleet.
        seconds: How much of the past a look shows.
    """

    def __init__(self, client: MultiEngineClient, seconds: float = 60.0) -> None:
        self._client, self._seconds = client, seconds
        self._meter = Meter()
        self._recent: list[Span] = []
        self._mark, self._instance = 0, ""

    def look(self) -> Look:
        """The fleet as it is now.

        Raises:
            ControllerUnreachable: The controller does not answer.
        """
        engines = self._meter.look(self._client.engines())
        value = self._ask()
        if value["instance"] != self._instance:  # another controller, with numbers of its own
            self._instance, self._mark, self._recent = value["instance"], 0, []
            value = self._ask()
        new = [*value["spans"]]
        while value["more"]:
            self._mark = value["mark"]
            value = self._ask()
            new += value["spans"]
        self._mark, now = value["mark"], value["now"]
        start = now - self._seconds
        self._recent = [
            span for span in (*self._recent, *map(Span.from_wire, new)) if span.completed >= start
        ]
        running = map(Span.from_wire, value["running"])
        return Look(engines, Timeline([*self._recent, *running], value["engines"]), start, now)

    def _ask(self) -> dict[str, Any]:
        reply = self._client._connection.call("timeline", ASK_SECONDS, since=self._mark)
        value: dict[str, Any] = reply.header["value"]
        return value
