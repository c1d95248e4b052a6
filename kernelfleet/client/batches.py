"""What a ``Dispatcher`` handles: items, the batches they travel in, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

JsonDict = dict[str, Any]


@dataclass(eq=False, slots=True)
class Item:
    """One call to make: for ``map`` an element, for an executor a task."""

    key: int
    payload: Any
    retries: int = 1
    #: How often it was running when an engine died, or failed and was tried again.
    attempts: int = 0
    timeout: float | None = None
    engines: frozenset[int] | None = None

    @property
    def alone(self) -> bool:
        """Whether it must not share a batch: it may be what killed an engine."""
        return self.attempts > 0 or self.timeout is not None


@dataclass(eq=False, slots=True)
class Batch:
    """Items under way to one engine."""

    engine: int
    items: list[Item]
    result_id: str
    size_bytes: int
    with_function: bool
    taken_back: bool = False
    timed_out: bool = False
    #: When it became the first in its engine's queue, as far as can be told from here.
    started: float | None = None


@dataclass(slots=True)
class Printed:
    """What the batches printed, per engine."""

    stdout: dict[int, str] = field(default_factory=dict)
    outputs: list[JsonDict] = field(default_factory=list)


class Source(Protocol):
    """Where items come from."""

    def take(self, count: int) -> list[Item]:
        """Up to ``count`` items; none if there are none (now)."""

    @property
    def remaining(self) -> int | None:
        """How many are left; None if that is not known."""
