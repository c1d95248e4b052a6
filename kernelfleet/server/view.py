"""What one page has seen, and what is new to it. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kernelfleet.server.board import Board
from kernelfleet.server.spans import SpanLog

if TYPE_CHECKING:
    from kernelfleet.server.shapes import FleetChange, Update


class View:
    """A page's view of all fleets.

    Args:
        engines: Whether it has the rows of engines.
        timeline: The names of the fleets whose timelines it shows; True is all.
    """

    def __init__(self, *, engines: bool = True, timeline: frozenset[str] | bool = False) -> None:
        self._engines, self._timeline = engines, timeline
        self._seen = -1
        #: By fleet: the log of its spans, and which version of it was seen.
        self._seen_spans: dict[str, tuple[SpanLog, int]] = {}

    def wants_timeline(self, name: str) -> bool:
        """Whether the page shows the timeline of this fleet."""
        return self._timeline if isinstance(self._timeline, bool) else name in self._timeline

    def update(self, board: Board, spans: Mapping[str, SpanLog], now: float) -> Update | None:
        """What is new to the page, from now on seen; None if nothing is."""
        update = board.update(self._seen, now)
        self._seen = board.version
        if update is None:
            update = {"type": "update", "now": now, "full": False, "fleets": [], "gone": []}
        if not self._engines:
            _leave_engines_out(update)
        changes = {change["name"]: change for change in update["fleets"]}
        for name in board.names:
            if name in spans and self.wants_timeline(name):
                self._add_spans(changes, name, spans[name])
        update["fleets"] = list(changes.values())
        return update if update["full"] or update["fleets"] or update["gone"] else None

    def _add_spans(self, changes: dict[str, FleetChange], name: str, log: SpanLog) -> None:
        known, seen = self._seen_spans.get(name, (None, 0))
        if known is not log:
            seen = 0
        if log.version > seen:
            self._seen_spans[name] = log, log.version
            change = changes.setdefault(name, {"name": name})
            change["spans"], change["running"] = log.since(seen), log.running


def _leave_engines_out(update: Update) -> None:
    for change in update["fleets"]:
        change.pop("engines", None)
        change.pop("removed", None)
    update["fleets"] = [change for change in update["fleets"] if len(change) > 1]


def view_of(message: Any) -> View | None:
    """The view that a page asks for; None if it wants to hear nothing.

    Raises:
        ValueError: the message makes no sense.
    """
    if not isinstance(message, dict) or message.get("type") != "look":
        raise ValueError(f"no message of a page: {message!r}")
    at, timeline = message.get("at"), message.get("timeline", False)
    if at not in ("engines", "fleets", "nothing"):
        raise ValueError(f"a page looks at engines, fleets or nothing, not at {at!r}")
    if isinstance(timeline, list) and all(isinstance(name, str) for name in timeline):
        timeline = frozenset(timeline)
    elif not isinstance(timeline, bool):
        raise ValueError(f"timeline is true, false or names of fleets, not {timeline!r}")
    return None if at == "nothing" else View(engines=at == "engines", timeline=timeline)
