"""Row: one line of the table, and the work that is timed for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.base import Peer

#: What a row is about, as a duration, a rate, or an amount.
UNITS = {"ms": 1e-3, "s": 1.0, "/s": 1.0, "MB": 1.0, "": 1.0}


def nothing(_peer: Peer) -> None:
    """No preparation."""


def value_itself(_peer: Peer, value: object, _size: int) -> object:
    """What the work returned is what is compared."""
    return value


@dataclass(frozen=True)
class Row:
    """One kind of work, done by every side that can."""

    name: str
    title: str
    unit: str
    #: What is timed; the int is ``size``.
    work: Callable[[Peer, int], object] = lambda _peer, _size: None
    #: Why it is not faster.
    limit: str = ""
    #: Done before, untimed.
    prepare: Callable[[Peer], object] = nothing
    #: Done afterwards, untimed: what must be equal on all sides.
    outcome: Callable[[Peer, Any, int], object] = value_itself
    #: Timed calls per round; each begins where the one before ended.
    calls: int = 20
    warm_up: int = 2
    size: int = 0
    #: Another size for a side that would take minutes.
    sizes: Mapping[str, int] = field(default_factory=dict)
    #: Figures to reach: side -> ratio to it; "" -> the figure itself, in the row's unit.
    goals: Mapping[str, float] = field(default_factory=dict)
    #: Sides that take too long, or have it only in name.
    without: tuple[str, ...] = ()
    #: At most so many rounds.
    rounds: int = 100

    @property
    def more_is_better(self) -> bool:
        """Whether it is a rate."""
        return self.unit == "/s"

    def size_for(self, side: str) -> int:
        """How much of the work this side does per call."""
        return self.sizes.get(side, self.size)

    def figure(self, side: str, seconds: float) -> float:
        """What the table shows for a call of this length."""
        if self.more_is_better:
            return self.size_for(side) / seconds
        return seconds / UNITS[self.unit]


def digest(value: Any) -> str:
    """Equal for equal results, whatever container a side gives them in."""
    whole = hashlib.sha256()

    def add(each: Any) -> None:
        if isinstance(each, list | tuple):
            for member in each:
                add(member)
        elif hasattr(each, "dtype") and each.shape:
            whole.update(f"{each.dtype}{each.shape}".encode())
            whole.update(memoryview(each).cast("B"))
        else:
            whole.update(repr(each).encode())
        whole.update(b";")

    add(value)
    return whole.hexdigest()
