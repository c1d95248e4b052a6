"""What a ``Dispatcher`` handles: items, what became of them, and the batches they travel in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kernelfleet.client.mapping.retries import Cause, RetryPolicy, Verdict
from kernelfleet.client.results.outputs import OutputAggregator
from kernelfleet.wire.messages import JsonDict

#: Which engines may run an item; None is any.
Engines = frozenset[int] | None

ONCE_AFTER_A_DEATH = RetryPolicy()


@dataclass(eq=False, slots=True)
class Item:
    """One call to make: for ``map`` an element, for an executor a task."""

    key: int
    payload: Any
    #: When it is run again.
    policy: RetryPolicy = ONCE_AFTER_A_DEATH
    #: How many engines have died while they ran it, and how often its function has failed.
    deaths: int = 0
    errors: int = 0
    timeout: float | None = None
    engines: Engines = None
    #: The batch it travels with; None while it waits here.
    batch: Batch | None = None
    #: What is called, of a task; the items of a map share their function.
    name: str = ""
    #: Whether it was cancelled: then it is not sent, or not sent again.
    unwanted: bool = False

    def after(self, cause: Cause) -> Verdict:
        """What is done with it now that it has no value for this cause, which has been counted."""
        return self.policy.after(cause, deaths=self.deaths, errors=self.errors)

    @property
    def alone(self) -> bool:
        """Whether it must travel isolated: it may have killed an engine, or has a time limit."""
        return self.deaths > 0 or self.errors > 0 or self.timeout is not None


@dataclass(slots=True)
class Outcome:
    """What became of an item. ``traceback`` is the engine's, ``stdout`` what this item printed."""

    item: Item
    value: Any = None
    error: Exception | None = None
    traceback: Sequence[str] = ()
    engine: int | None = None
    stdout: str = ""
    stderr: str = ""
    #: Jupyter outputs, those of the streams too.
    outputs: Sequence[JsonDict] = ()


@dataclass(eq=False, slots=True)
class Batch:
    """Items that are sent to one engine together."""

    engine: int
    items: list[Item]
    result_id: str
    size_bytes: int
    with_function: bool
    taken_back: bool = False
    #: Whether its engine is known to have begun with it.
    begun: bool = False

    def suits(self, idle: set[int]) -> bool:
        """Whether one of these engines may run some of it."""
        return any(item.engines is None or item.engines & idle for item in self.items)


@dataclass(slots=True)
class Printed:
    """What the batches printed, per engine."""

    texts: dict[str, dict[int, str]] = field(default_factory=lambda: {"stdout": {}, "stderr": {}})
    outputs: dict[int, list[JsonDict]] = field(default_factory=dict)

    def add(self, engine: int, folder: OutputAggregator) -> None:
        """Take over the outputs of a finished batch."""
        for output in folder.outputs():
            _append(self.outputs.setdefault(engine, []), output)
        for stream, texts in self.texts.items():
            if text := folder.text(stream):
                texts[engine] = texts.get(engine, "") + text


def _append(outputs: list[JsonDict], output: JsonDict) -> None:
    """Add an output; text that goes on where the one before ended is one with it."""
    last = outputs[-1] if outputs else {}
    if output.get("output_type") == "stream" and last.get("name") == output.get("name"):
        outputs[-1] = {**last, "text": last["text"] + output["text"]}
    else:
        outputs.append(output)


class Backlog:
    """Items that wait to be sent (again), by the engines that may run them."""

    def __init__(self) -> None:
        self._items: dict[Engines, deque[Item]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._items.values()))

    def put(self, items: Iterable[Item]) -> None:
        """Add items behind the others."""
        for item in items:
            self._items.setdefault(item.engines, deque()).append(item)

    def put_first(self, items: Sequence[Item]) -> None:
        """Add items that had been sent before the others."""
        for item in reversed(items):
            self._items.setdefault(item.engines, deque()).appendleft(item)

    def waiting(self) -> Iterator[tuple[Engines, int]]:
        """Which engines something waits for, and how much; what not all can run comes first."""
        for engines in sorted(self._items, key=lambda engines: engines is None):
            if self._items[engines]:
                yield engines, len(self._items[engines])

    def take(self, engines: Engines, count: int) -> list[Item]:
        """Up to ``count`` items that may share a batch."""
        waiting = self._items[engines]
        taken = [waiting.popleft()]
        while not taken[0].alone and waiting and len(taken) < count and not waiting[0].alone:
            taken.append(waiting.popleft())
        return taken

    def clear(self, where: Callable[[Engines], bool] = lambda _: True) -> list[Item]:
        """Take out all items, or those for which ``where`` accepts their engines."""
        chosen = [engines for engines in self._items if where(engines)]
        return [item for engines in chosen for item in self._items.pop(engines)]


class Source(Protocol):
    """Where items come from.

    Attributes:
        varied: Whether its items may differ in which engines may run them, and for how long.
    """

    varied: bool

    def take(self, count: int) -> list[Item]:
        """Up to ``count`` items; none if there are none (now)."""

    @property
    def remaining(self) -> int | None:
        """How many are left; None if that is not known."""
