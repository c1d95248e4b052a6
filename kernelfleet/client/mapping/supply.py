"""What is sent next, and how much at once: first what waits to be resent, then new items."""

from __future__ import annotations

from typing import Any

from kernelfleet.client.mapping.batches import Backlog, Item, Source
from kernelfleet.client.mapping.schedule import Assignment, BatchSizer


class Supply:
    """The items of one call that are not in flight."""

    def __init__(self, source: Source, sizer: BatchSizer) -> None:
        self.backlog = Backlog()
        self._source, self._sizer = source, sizer

    def next(self, assignment: Assignment[Any]) -> tuple[int, list[Item]] | None:
        """An engine that has room, and the items it is to get; None if there is no such pair."""
        found = self._from_backlog(assignment)
        while found is None:
            engine = assignment.next_engine()
            if engine is None:
                return None
            items = self._source.take(self._sizer.size(engine, self._source.remaining))
            if not items:
                return None
            if self._may_share_a_batch(items):
                return engine, items
            self.backlog.put(items)
            found = self._from_backlog(assignment)
        return found

    def _may_share_a_batch(self, items: list[Item]) -> bool:
        return not self._source.varied or not any(
            item.alone or item.engines is not None for item in items
        )

    def _from_backlog(self, assignment: Assignment[Any]) -> tuple[int, list[Item]] | None:
        """Items that wait to be resent and may run on an engine with room."""
        for engines, count in self.backlog.waiting():
            engine = assignment.next_engine(engines)
            if engine is not None:
                more = (self._source.remaining or 0) if engines is None else 0
                size = self._sizer.size(engine, count + more)
                return engine, self.backlog.take(engines, size)
        return None

    def for_engine(self, engine: int) -> list[Item]:
        """Items for this engine, whether it has room or not; none that have a time limit.

        The caller runs them in its own thread, in place of the engine, and cannot interrupt them.
        """
        items = self._from_backlog_for(engine)
        while not items:
            items = self._source.take(self._sizer.size(engine, self._source.remaining))
            if self._may_share_a_batch(items):
                return items
            self.backlog.put(items)
            items = self._from_backlog_for(engine)
        return items

    def _from_backlog_for(self, engine: int) -> list[Item]:
        limited: list[Item] = []
        taken: list[Item] = []
        for engines, count in list(self.backlog.waiting()):
            left = count if engines is None or engine in engines else 0
            while left and not taken:
                items = self.backlog.take(engines, self._sizer.size(engine, left))
                left -= len(items)
                (taken if items[0].timeout is None else limited).extend(items)
        self.backlog.put_first(limited)
        return taken
