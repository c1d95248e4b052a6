"""What is known of all fleets, and what of it has changed since somebody last looked.

Every part has the version in which it last changed, so that each reader gets what is new to him and
nothing else. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from kernelfleet.server.shapes import EngineRow, Fleet, FleetChange, FleetHead, Update

ValueT = TypeVar("ValueT")

#: How many names of ended fleets are remembered; who lacks more of them is sent everything.
KEPT_GONE = 100


class _Versioned(Generic[ValueT]):
    """A value, and the version of the board in which it became so."""

    __slots__ = ("value", "version")

    def __init__(self, value: ValueT, version: int) -> None:
        self.value, self.version = value, version


class _Entry:
    def __init__(self, head: FleetHead, version: int) -> None:
        self.since = version
        self.head = _Versioned(head, version)
        self.engines: dict[int, _Versioned[EngineRow]] = {}
        self.removed: dict[int, int] = {}

    def set_engines(self, rows: Iterable[EngineRow], version: int) -> bool:
        before, changed = self.engines, False
        self.engines = {}
        for row in rows:
            known = before.pop(row["id"], None)
            if known is None or known.value != row:
                known, changed = _Versioned(row, version), True
            self.engines[row["id"]] = known
            self.removed.pop(row["id"], None)
        for engine_id in before:
            self.removed[engine_id], changed = version, True
        return changed

    def changes(self, name: str, since: int) -> FleetChange:
        change: FleetChange = {"name": name}
        is_new = self.since > since
        if is_new:
            change["new"] = True
        if self.head.version > since:
            change["head"] = self.head.value
        if rows := [each.value for each in self.engines.values() if each.version > since]:
            change["engines"] = rows
        removed = [each for each, version in self.removed.items() if version > since]
        if removed and not is_new:
            change["removed"] = removed
        return change


class Board:
    """All fleets by name, with a version that grows with each change."""

    def __init__(self) -> None:
        self.version = 0
        self._entries: dict[str, _Entry] = {}
        self._gone: dict[str, int] = {}
        #: Who has seen less than this version may lack the name of a fleet that has ended.
        self._forgotten = 0

    @property
    def names(self) -> list[str]:
        """The names of the fleets, sorted."""
        return sorted(self._entries)

    def put(self, head: FleetHead, rows: Iterable[EngineRow]) -> bool:
        """Note what a fleet is now. Returns whether that is new."""
        name, version = head["name"], self.version + 1
        entry = self._entries.get(name)
        changed = entry is None or entry.head.value != head
        if entry is None:
            entry = self._entries[name] = _Entry(head, version)
            self._gone.pop(name, None)
        elif changed:
            entry.head = _Versioned(head, version)
        if entry.set_engines(rows, version) or changed:
            self.version = version
            return True
        return False

    def remove(self, name: str) -> bool:
        """Note that a fleet has ended. Returns whether it was known."""
        if self._entries.pop(name, None) is None:
            return False
        self.version += 1
        self._gone[name] = self.version
        if len(self._gone) > KEPT_GONE:
            oldest = next(iter(self._gone))
            self._forgotten = self._gone.pop(oldest)
        return True

    def get(self, name: str) -> Fleet | None:
        """A fleet with its engines; None if it is not known."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        return {**entry.head.value, "engines": [each.value for each in entry.engines.values()]}

    def rows(self, name: str) -> list[EngineRow]:
        """The engines of a fleet, as they were last known."""
        entry = self._entries.get(name)
        return [] if entry is None else [each.value for each in entry.engines.values()]

    def update(self, since: int, now: float) -> Update | None:
        """What has changed after a version; None if nothing has. Version -1 gives everything."""
        if since >= self.version:
            return None
        full = since < self._forgotten or since < 0
        if full:
            since = -1
        changes = [self._entries[name].changes(name, since) for name in self.names]
        return {
            "type": "update",
            "now": now,
            "full": full,
            "fleets": [change for change in changes if len(change) > 1],
            "gone": [] if full else [name for name, v in self._gone.items() if v > since],
        }
