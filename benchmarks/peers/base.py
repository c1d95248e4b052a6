"""What a side can do: one method per kind of work; what it lacks does not apply to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class DoesNotApplyError(Exception):
    """This side has nothing of the kind."""


class Peer:
    """One side. Methods wait for their result, and see to it that it is right or raise."""

    name = ""

    def start(self, n: int) -> None:
        """Start ``n`` engines; returns when all have answered."""
        raise NotImplementedError

    def stop(self) -> None:
        """End them; returns when they are gone."""
        raise NotImplementedError

    def execute(self, code: str) -> None:
        """Run a cell on all engines."""
        raise DoesNotApplyError

    def execute_on_one(self, code: str) -> None:
        """Run a cell on one engine."""
        raise DoesNotApplyError

    def execute_many(self, code: str, count: int) -> None:
        """Hand one engine many cells without waiting, then wait for all."""
        raise DoesNotApplyError

    def push(self, name: str, value: Any) -> None:
        """Give a value to every engine."""
        raise DoesNotApplyError

    def pull(self, name: str) -> list[Any]:
        """Every engine's value, here."""
        raise DoesNotApplyError

    def pull_from_one(self, name: str) -> Any:
        """One engine's value, here."""
        raise DoesNotApplyError

    def apply(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Call a function on every engine."""
        raise DoesNotApplyError

    def make_arrays(self, name: str, size_bytes: int) -> None:
        """Make an array on each engine, to be pulled or gathered."""
        make = f"from benchmarks.functions import make_array; {name} = make_array({size_bytes})"
        self.execute(make)

    def scatter(self, name: str, array: Any) -> None:
        """Give each engine its part of an array."""
        raise DoesNotApplyError

    def gather(self, name: str) -> Any:
        """Join what was scattered, here."""
        raise DoesNotApplyError

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """A balanced map without tuning."""
        raise DoesNotApplyError

    def map_evenly(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """A map that deals out the items beforehand, in equal parts."""
        raise DoesNotApplyError

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        """Submit one task, and wait for it."""
        raise DoesNotApplyError

    def submit_many(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """Submit many tasks, then wait for all."""
        raise DoesNotApplyError
