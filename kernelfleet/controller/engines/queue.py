"""One engine's queue: a FIFO with one request in flight. Pure: no sockets, clocks or asyncio.

The queue decides the order, and what an error clears. Its caller sends what is to start, and tells
the clients of what was cleared.

::

    state of the queue         put       start_next      finish    put_front          fail_all
    idle, nothing waits        waits     None            error     waits, first       idle
    idle, something waits      waits     runs the first  error     waits, first       idle
    held (idle)                waits     None            error     waits, first       idle
    something runs             waits     None            idle      the running one    idle
                                                                   waits again, first

``hold`` and ``release`` may come in any state: a request in flight is not touched, the next one
does not start while any reason to hold is left. ``clear`` and ``drop`` touch only what waits.

The rule of ``finish(failed=True)``: **an error in an execute clears what the same client had queued
behind it**. Other clients' requests stay, and so do map items and executor tasks, which depend on
nothing before them. An interrupt is an error like others. Errors in other operations clear nothing
(``Operation.clears_queue`` and ``Operation.independent`` say which is which).

What the user does with a widget goes before what others have queued, in its own order
(``Operation.goes_first``): a page that does not respond to a slider would seem broken.

What is not in the table (finishing when nothing runs, an item that is here already, holding
or releasing twice for one reason) raises ``IllegalTransition`` and changes nothing.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypedDict, TypeVar

from kernelfleet.wire.operations import Operation


class IllegalTransition(RuntimeError):
    """The caller's fault: the queue is in no state to do that; nothing was changed."""


class QueueItem(Protocol):
    """What the queue reads of a request."""

    @property
    def client(self) -> Hashable:
        """Who asked."""

    @property
    def operation(self) -> Operation:
        """What is asked, of ``wire/operations.py``."""

    @property
    def label(self) -> str:
        """The request as ``queue_status`` shows it."""


class QueueStatus(TypedDict):
    """One engine's entry in ``queue_status``."""

    queue: list[str]
    pending: str | None


ItemT = TypeVar("ItemT", bound=QueueItem)


class EngineQueue(Generic[ItemT]):
    """See the module's docstring. Items are told apart by identity."""

    def __init__(self) -> None:
        self._waiting: deque[ItemT] = deque()
        self._running: ItemT | None = None
        self._known: set[int] = set()  # ids of all items here: a look-up must not walk the queue
        self._holds: set[str] = set()
        #: What waited when the running item was interrupted; None if it was not.
        self._behind: tuple[ItemT, ...] | None = None

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    @property
    def running(self) -> ItemT | None:
        """The item in flight."""
        return self._running

    @property
    def waiting(self) -> tuple[ItemT, ...]:
        """The items that wait, next first."""
        return tuple(self._waiting)

    @property
    def holds(self) -> frozenset[str]:
        """The reasons why nothing starts."""
        return frozenset(self._holds)

    def put(self, item: ItemT) -> None:
        """Queue an item behind the others, or behind those that go first if it does so, too."""
        self._admit(item)
        if not item.operation.goes_first:
            self._waiting.append(item)
            return
        ahead = itertools.takewhile(lambda each: each.operation.goes_first, self._waiting)
        self._waiting.insert(sum(1 for _ in ahead), item)

    def put_front(self, item: ItemT) -> None:
        """Put an item before the others, to run it again after the engine aborted it.

        It is the running one, which then runs no more, or one that is not here.
        """
        if item is self._running:
            self._running = self._behind = None
        else:
            self._admit(item)
        self._waiting.appendleft(item)

    def start_next(self) -> ItemT | None:
        """The item to run now; None if one runs, nothing waits, or the queue is held."""
        if self._running is not None or self._holds or not self._waiting:
            return None
        self._running = self._waiting.popleft()
        return self._running

    def interrupted(self) -> None:
        """The running item is being interrupted: its failure clears what waits now.

        Who queues something later does so knowing of the interrupt, however long it takes.
        """
        if self._running is not None and self._behind is None:
            self._behind = self.waiting

    def finish(self, failed: bool) -> list[ItemT]:
        """The running item has ended; returns what its failure cleared, in queue order."""
        ended = self._running
        if ended is None:
            raise IllegalTransition("nothing runs that could finish")
        behind = self._waiting if self._behind is None else self._behind
        doomed = set(map(id, behind)) if failed else set()
        self._running = self._behind = None
        self._known.discard(id(ended))
        if not failed or not ended.operation.clears_queue:
            return []
        return self.drop(
            lambda item: (
                item.client == ended.client
                and not item.operation.independent
                and id(item) in doomed
            )
        )

    def clear(self) -> list[ItemT]:
        """Take all that waits, whoever queued it."""
        return self.drop(lambda _item: True)

    def drop(self, predicate: Callable[[ItemT], bool]) -> list[ItemT]:
        """Take out the waiting items that the predicate picks, in queue order."""
        dropped: list[ItemT] = []
        kept: deque[ItemT] = deque()
        for item in self._waiting:
            (dropped if predicate(item) else kept).append(item)
        self._waiting = kept
        self._known.difference_update(map(id, dropped))
        return dropped

    def fail_all(self) -> list[ItemT]:
        """The engine is gone: take the running item, then all that waits. Holds stay."""
        running = [] if self._running is None else [self._running]
        self._running = self._behind = None
        self._known.difference_update(map(id, running))
        return [*running, *self.clear()]

    def hold(self, reason: str = "held") -> None:
        """Start nothing until this reason is released."""
        if reason in self._holds:
            raise IllegalTransition(f"held already: {reason}")
        self._holds.add(reason)

    def release(self, reason: str = "held") -> None:
        """Take a reason to hold away."""
        if reason not in self._holds:
            raise IllegalTransition(f"not held: {reason}")
        self._holds.remove(reason)

    def status(self) -> QueueStatus:
        """What waits and what runs, as labels."""
        pending = None if self._running is None else self._running.label
        return {"queue": [item.label for item in self._waiting], "pending": pending}

    def _admit(self, item: ItemT) -> None:
        if id(item) in self._known:
            raise IllegalTransition(f"queued already: {item.label}")
        self._known.add(id(item))
