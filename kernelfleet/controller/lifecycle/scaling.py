"""Another number of engines: who counts, and who comes or goes.

Whoever scales a fleet counts its engines, so the number must be one that holds. An engine that is
starting will be there. One that was killed a moment ago is still registered, because its process
takes a while to end, and longer to be found dead; it will not be there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from kernelfleet.controller.engines.engine import Engine

#: How long a process that was killed may take to end; one that hangs in the system takes longer.
ENDING_SECONDS = 5.0
ENDING_POLL_SECONDS = 0.01
#: How often engines are made up for that die while others are started.
ATTEMPTS = 3


class Registry(Protocol):
    """The part of the engine registry that has and starts engines."""

    engines: dict[int, Engine]

    def unsettled(self) -> Sequence[asyncio.Future[Any]]:
        """What changes how many engines there are: starts, restarts, deaths."""

    def is_ending(self, engine: Engine) -> bool:
        """Whether the process of an engine ends, though it may not be known yet."""

    async def add(self, kernels: Sequence[str | None]) -> None:
        """Start an engine per kernel name."""

    async def leave(self, leaving: Iterable[Engine]) -> None:
        """End engines when they have done what they were given."""


async def settle(registry: Registry) -> None:
    """Wait until all that start are there, and all that were killed are known to be dead."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ENDING_SECONDS
    while True:
        if pending := registry.unsettled():
            await asyncio.wait(pending)
        elif loop.time() < deadline and any(map(registry.is_ending, _registered(registry))):
            await asyncio.sleep(ENDING_POLL_SECONDS)
        else:
            return


async def scale(registry: Registry, n: int, kernel_name: str | None) -> None:
    """Have ``n`` engines: start some, or end those of the highest ids when they are drained."""
    for _ in range(ATTEMPTS):
        await settle(registry)
        here = [each for each in _registered(registry) if not registry.is_ending(each)]
        if n <= len(here):
            await registry.leave(here[n:])
            return
        await registry.add([kernel_name] * (n - len(here)))


def _registered(registry: Registry) -> list[Engine]:
    return [engine for _, engine in sorted(registry.engines.items()) if engine.registered]
