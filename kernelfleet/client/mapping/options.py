"""How items are run: what a user says about a map, and what a dispatcher needs to know of a call.

Both are frozen, so that they can be handed from function to function as one thing and nobody
changes them on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kernelfleet.client.controller_proxy import OnOutput
from kernelfleet.client.mapping.retries import RetryPolicy
from kernelfleet.client.mapping.schedule import BUDGET_SECONDS
from kernelfleet.client.targets import check_block, check_count


@dataclass(frozen=True, slots=True)
class MapOptions:
    """The options of ``map``, ``imap``, ``mapper`` and ``parallel``, as the user gave them.

    Attributes:
        schedule: ``'dynamic'``, or ``'static'`` for one contiguous block per engine.
        chunksize: Items per batch; None adapts the size to how long items take.
        retries: How often an item is run again after an engine died with it.
        return_exceptions: The exception of a failed item is its value, and the others go on.

    Raises:
        ValueError: an unknown schedule, a number out of range, or a switch that is no bool.
        TypeError: a number that is none.
    """

    schedule: str = "dynamic"
    chunksize: int | None = None
    retries: int = 1
    return_exceptions: bool = False

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        if self.schedule not in ("dynamic", "static"):
            raise ValueError(f"schedule is 'dynamic' or 'static', not {self.schedule!r}")
        check_chunksize(self.chunksize)
        check_count(self.retries, 0, "retries is at least 0")
        check_block(self.return_exceptions, "return_exceptions")

    @property
    def is_static(self) -> bool:
        """Whether each engine gets one contiguous block."""
        return self.schedule == "static"

    @property
    def retry_policy(self) -> RetryPolicy:
        """When an item of this map is run again: only after deaths, never after its own error."""
        return RetryPolicy(after_deaths=self.retries)


def check_chunksize(size: Any) -> None:
    """Refuse what is no number of items in a batch."""
    if size is not None:
        check_count(size, 1, "chunksize is at least 1, or None")


def name_of(function: Callable[..., Any] | str) -> str:
    """What ``queue_status`` shows of a function that is mapped, or run as a task."""
    if isinstance(function, str):
        return function if len(function) < 40 else function[:37] + "..."
    return str(getattr(function, "__qualname__", type(function).__name__))


@dataclass(frozen=True, slots=True)
class Call:
    """What a dispatcher does with each item, and how.

    Attributes:
        function: What is called with each item, or its source text.
        label: What ``queue_status`` shows.
        star: Items are tuples of arguments.
        verb: ``map`` or ``task``.
        chunksize: Items per batch; None adapts.
        budget: Seconds after which a batch gives the rest of its items back; None is no limit.
        stop_on_error: A failing item ends its batch.
        steals: Batches that wait are taken back when another engine idles.
        keeps_output: What batches have put out is collected in ``Dispatcher.printed``.
        on_output: Gets output messages as they come, on the loop thread.
    """

    function: Any
    label: str
    star: bool = False
    verb: str = "map"
    chunksize: int | None = None
    budget: float | None = BUDGET_SECONDS
    stop_on_error: bool = True
    steals: bool = True
    keeps_output: bool = False
    on_output: OnOutput | None = None
