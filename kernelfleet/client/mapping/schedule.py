"""How many items an engine gets next, and which are stolen from another. Pure: no sockets or clock.

Batches grow until one takes some tens of milliseconds, so that trivial items travel by the
thousand and long ones alone. Each engine has one batch that runs and one that waits behind it;
when nothing is left to hand out and an engine idles, a waiting batch is taken back for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

#: Seconds that a batch should take.
TARGET_SECONDS = 0.05
#: A batch that takes this much longer than planned gives its remaining items back.
BUDGET_SECONDS = 4 * TARGET_SECONDS
#: Less work than this is not divided among engines: it is about what sending a batch costs.
SMALL_SECONDS = 0.002
#: A batch may be so many times larger than the one before.
GROWTH = 8
MAX_ITEMS = 8192
MAX_BATCH_BYTES = 16 * 1024 * 1024
#: Batches per engine: one that runs, one that waits.
DEPTH = 2

B = TypeVar("B")


@dataclass(slots=True)
class _Pace:
    """The measured throughput of one engine."""

    last: int = 0
    seconds_per_item: float | None = None
    bytes_per_item: float = 0.0


@dataclass
class BatchSizer:
    """How many items the next batch of an engine has.

    Args:
        n_engines: How many engines share the work.
        chunksize: Always this many; None adapts.
    """

    n_engines: int
    chunksize: int | None = None
    _paces: dict[int, _Pace] = field(default_factory=dict)

    def size(self, engine: int, remaining: int | None) -> int:
        """The size for ``engine``, with ``remaining`` items to hand out (None: not known)."""
        if self.chunksize is not None:
            return self.chunksize
        pace = self._paces.get(engine)
        if pace is None or pace.seconds_per_item is None:
            return 1
        size: float = min(pace.last * GROWTH, MAX_ITEMS)
        if pace.seconds_per_item > 0:
            size = min(size, TARGET_SECONDS / pace.seconds_per_item)
        if pace.bytes_per_item > 0:
            size = min(size, MAX_BATCH_BYTES / pace.bytes_per_item)
        if remaining is not None:
            # Towards the end smaller, so that all engines end at about the same time.
            share = math.ceil(remaining / (DEPTH * self.n_engines))
            worthwhile = SMALL_SECONDS / max(pace.seconds_per_item, 1e-9)
            size = min(size, max(share, worthwhile))
        return max(1, int(size))

    def record(self, engine: int, items: int, seconds: float, size_bytes: int) -> None:
        """A batch has come back: learn from how long it took and how large it was."""
        if items < 1:
            return
        pace = self._paces.setdefault(engine, _Pace())
        measured = max(0.0, seconds) / items
        known = pace.seconds_per_item
        pace.seconds_per_item = measured if known is None else (known + measured) / 2
        pace.bytes_per_item = max(pace.bytes_per_item / 2, size_bytes / items)
        pace.last = max(items, 1)


class Assignment(Generic[B]):
    """Which batches each engine has, oldest first; the first of them runs."""

    def __init__(self, engines: Iterable[int], own: int | None = None) -> None:
        self._batches: dict[int, list[B]] = {engine: [] for engine in engines}
        self._open = set(self._batches)
        self._depth = DEPTH if own is None else 1
        #: Engines that run another client's work just now, as far as is known.
        self.occupied: set[int] = set()
        #: The engine that this process is, if it is one. If it is busy, its command is what waits
        #: for this call: then this process runs the items itself that occupied engines would get.
        self.own = own

    @property
    def engines(self) -> list[int]:
        """The engines that take part, and get new batches."""
        return [engine for engine in self._batches if engine in self._open]

    def set_engines(self, engines: Iterable[int]) -> None:
        """These take part from now on; what others have they may still finish."""
        self._open = set(engines)
        for engine in self._open:
            self._batches.setdefault(engine, [])
        for engine in [e for e, batches in self._batches.items() if not batches]:
            if engine not in self._open:
                del self._batches[engine]

    def add(self, engine: int, batch: B) -> None:
        """A batch was sent to an engine."""
        self._batches[engine].append(batch)

    def remove(self, engine: int, batch: B) -> bool:
        """A batch has come back; whether it was the first."""
        batches = self._batches[engine]
        was_first = batches[0] is batch
        batches.remove(batch)
        if not batches and engine not in self._open:
            del self._batches[engine]
        return was_first

    def in_flight(self) -> list[B]:
        """All batches in flight; may be called from any thread."""
        return [batch for batches in list(self._batches.values()) for batch in list(batches)]

    def next_engine(self, among: Iterable[int] | None = None) -> int | None:
        """The engine to give the next batch: the least loaded one, if it has room; else None."""
        able = self.engines if among is None else [e for e in among if e in self._open]
        if self.own in self.occupied:
            able = [engine for engine in able if engine not in self.occupied]
        room = [engine for engine in able if len(self._batches[engine]) < self._depth]

        def load(engine: int) -> tuple[int, bool]:
            return len(self._batches[engine]), engine in self.occupied

        return min(room, key=load, default=None)

    def idle(self) -> list[int]:
        """The engines with nothing to do."""
        free = [engine for engine in self.engines if engine not in self.occupied]
        return [engine for engine in free if not self._batches[engine]]

    def waiting(self) -> list[tuple[int, B]]:
        """The batches that wait behind another, those behind most others first."""
        loaded = sorted(self._batches.items(), key=lambda entry: -len(entry[1]))
        return [(engine, batch) for engine, batches in loaded for batch in reversed(batches[1:])]

    def worth_taking_back(
        self, suits: Callable[[B, set[int]], bool], *, first: bool = True
    ) -> Iterator[B]:
        """Batches that engines which idle could run instead, as many as there are idle ones.

        First come batches that wait behind others of this call. Then come first batches, which
        wait only if their engine works for another client; a batch that runs cannot be taken
        back, so these do not count.

        Args:
            suits: Whether one of these idle engines may run a batch.
            first: Whether first batches are wanted too.
        """
        idle = set(self.idle())
        places = len(idle)
        surely = self.waiting()
        perhaps = self.first() if first else []
        for i, (_, batch) in enumerate([*surely, *perhaps]):
            if places <= 0:
                return
            if suits(batch, idle):
                places -= i < len(surely)
                yield batch

    def first(self) -> list[tuple[int, B]]:
        """The first batch of each engine: it runs, unless the engine works for another client."""
        return [(engine, batches[0]) for engine, batches in self._batches.items() if batches]
