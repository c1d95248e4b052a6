"""What is kept of finished work: commands by engine and number, results by id. Bounded.

``CommandHistory`` answers ``get_result(i)`` and ``%result``, whoever sent the command.
``ResultStore`` lets a client that has come back, or another client, fetch a result by its id. A
result that a connected client still refers to is never dropped.

Pure: no sockets, no clock.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from kernelfleet.wire.buffers.frames import frame_bytes
from kernelfleet.wire.messages import JsonDict

#: Stale entries that the heap of evictable results may hold, beside twice the number of results,
#: before it is rebuilt.
HEAP_SLACK = 100


def size_of(record: Any) -> int:
    """Roughly how many bytes a JSON-like record takes.

    This runs for every message, so it is only an estimate. The user's data and the outputs are not
    in the record but in frames beside it.
    """
    size, rest = 0, [(record,)]
    for container in rest:
        for each in container:
            kind = type(each)
            if kind is str or kind is bytes:
                size += len(each) + 50
            elif kind is dict:
                size += 100 + 60 * len(each)
                rest.append(each.values())
            elif kind is list or kind is tuple:
                size += 60
                rest.append(each)
            else:
                size += 30
    return size


@dataclass(slots=True)
class Command:
    """A finished execute: its record, and the frames of its error and of its outputs."""

    record: JsonDict
    buffers: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return size_of(self.record) + sum(map(frame_bytes, (*self.buffers, *self.outputs)))


class CommandHistory:
    """The finished executes of one engine, newest kept."""

    def __init__(
        self, max_count: int | None = 1000, max_bytes: int | None = 16 * 1024 * 1024
    ) -> None:
        self._max_count, self._max_bytes = max_count, max_bytes
        self._kept: OrderedDict[int, tuple[Command, int]] = OrderedDict()
        self._bytes = 0
        self.highest = 0

    def put(self, number: int, command: Command) -> None:
        """Keep a finished command under its number; the oldest are dropped beyond the limits."""
        size = command.size_bytes
        if number in self._kept:
            self._bytes -= self._kept.pop(number)[1]
        self._kept[number] = command, size
        self._bytes += size
        self.highest = max(self.highest, number)
        while len(self._kept) > 1 and self._too_much():
            self._bytes -= self._kept.popitem(last=False)[1][1]

    def _too_much(self) -> bool:
        return (self._max_count is not None and len(self._kept) > self._max_count) or (
            self._max_bytes is not None and self._bytes > self._max_bytes
        )

    def get(self, number: int | None) -> Command:
        """A command by number; None is the one finished last.

        Raises:
            LookupError: there was none, or it has been dropped; the message says which.
        """
        if number is None:
            if not self._kept:
                raise LookupError("no command has finished on this engine yet")
            number = next(reversed(self._kept))
        if number not in self._kept:
            if 0 < number <= self.highest:
                raise LookupError(f"command {number} has been dropped from the history")
            if number < 1:
                raise LookupError(f"there is no command {number}: they are numbered from 1")
            raise LookupError(f"no finished command {number} on this engine")
        return self._kept[number][0]

    def clear(self) -> None:
        """Forget everything, as after ``reset``."""
        self._kept.clear()
        self._bytes = self.highest = 0


@dataclass(slots=True)
class StoredResult:
    """A finished request that can still be asked for."""

    header: JsonDict
    buffers: list[Any]
    size_bytes: int
    #: Serial number of this entry: it tells an entry of the heap that is current from a stale one.
    number: int = 0


class ResultStore:
    """Finished requests by result id; one that a client holds is never dropped."""

    def __init__(
        self, max_count: int | None = 1000, max_bytes: int | None = 64 * 1024 * 1024
    ) -> None:
        self._max_count, self._max_bytes = max_count, max_bytes
        self._kept: OrderedDict[str, StoredResult] = OrderedDict()
        self._bytes = 0
        #: How often each client, and all of them together, hold each result.
        self._holds: dict[str, dict[str, int]] = {}
        self._holders: dict[str, int] = {}
        #: A heap of results that nobody holds, the oldest first; some entries may be stale.
        self._free: list[tuple[int, str]] = []
        self._count = 0

    def put(self, result_id: str, header: JsonDict, buffers: list[Any], buffer_bytes: int) -> None:
        """Keep a result."""
        self.drop(result_id)
        size = size_of(header) + buffer_bytes
        self._count += 1
        self._kept[result_id] = StoredResult(header, buffers, size, self._count)
        self._bytes += size
        self._free_unless_held(result_id)
        self._shrink()

    def get(self, result_id: str) -> StoredResult | None:
        """A kept result, or None."""
        return self._kept.get(result_id)

    def hold(self, result_id: str, client: str) -> None:
        """Add one reference of a client: it has an object that stands for this result."""
        for holds in (self._holds.setdefault(client, {}), self._holders):
            holds[result_id] = holds.get(result_id, 0) + 1

    def release(self, result_id: str, client: str) -> None:
        """Remove one reference of a client; a result without references may be dropped."""
        if result_id in self._holds.get(client, {}):
            self._let_go(result_id, client, 1)
            self._shrink()

    def release_all(self, client: str) -> None:
        """Remove all references of a client that has left."""
        for result_id, count in list(self._holds.get(client, {}).items()):
            self._let_go(result_id, client, count)
        self._holds.pop(client, None)
        self._shrink()

    def _let_go(self, result_id: str, client: str, count: int) -> None:
        for holds in (self._holds[client], self._holders):
            holds[result_id] -= count
            if holds[result_id] <= 0:
                del holds[result_id]
        self._free_unless_held(result_id)

    def _free_unless_held(self, result_id: str) -> None:
        kept = self._kept.get(result_id)
        if kept is not None and result_id not in self._holders:
            heapq.heappush(self._free, (kept.number, result_id))
            if len(self._free) > 2 * len(self._kept) + HEAP_SLACK:
                # Each release of the same result adds an entry: rebuild the heap now and then.
                self._free = [
                    (kept.number, each)
                    for each, kept in self._kept.items()
                    if each not in self._holders
                ]
                heapq.heapify(self._free)

    def drop(self, result_id: str) -> None:
        """Forget a result."""
        kept = self._kept.pop(result_id, None)
        if kept is not None:
            self._bytes -= kept.size_bytes

    def clear(self) -> None:
        """Forget all results, those that a client holds too."""
        self._kept.clear()
        self._free.clear()
        self._bytes = 0

    def _shrink(self) -> None:
        while self._free and self._too_much():
            number, result_id = heapq.heappop(self._free)
            kept = self._kept.get(result_id)
            if kept is not None and kept.number == number and result_id not in self._holders:
                self.drop(result_id)

    def _too_much(self) -> bool:
        return (self._max_count is not None and len(self._kept) > self._max_count) or (
            self._max_bytes is not None and self._bytes > self._max_bytes
        )
