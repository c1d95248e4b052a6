"""The MPI worlds of a fleet on many nodes, one after the other: a new one replaces one that died.

As on one machine (``controller/lifecycle/worlds.py``), engines start, restart and die together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from logging import Logger
from typing import Any, Protocol

from kernelfleet.controller.lifecycle.restart_policy import RestartPolicy
from kernelfleet.controller.lifecycle.restarting import DeadEngine, restart_by_policy
from kernelfleet.controller.options import FleetOptions
from kernelfleet.errors.text import format_ids
from kernelfleet.errors.tree import StartError
from kernelfleet.head.jobs.world import WorldOnNodes
from kernelfleet.head.placed import Placed


class Registry(Protocol):
    """The part of the registry that starts engines."""

    engines: dict[int, Placed]

    async def add(self, kernels: Iterable[str | None], ids: Sequence[int] | None = None) -> None:
        """Start engines."""

    def changed(self) -> None:
        """Tell clients which engines there are."""

    def spawn(self, coroutine: Any) -> None:
        """Run a coroutine in the background."""


class WorldsOnNodes(WorldOnNodes):
    """The world of a fleet, which is replaced when all are restarted.

    Args:
        options: Those of the fleet.
        registry: Its engines.
        log: Its log.
    """

    def __init__(self, options: FleetOptions, registry: Registry, log: Logger) -> None:
        super().__init__(options, self._died_unasked)
        self._registry, self._log = registry, log
        self._policy = RestartPolicy()
        self._renewing: asyncio.Future[None] | None = None

    async def gather(
        self, *starts: Coroutine[Any, Any, None], return_exceptions: bool
    ) -> list[BaseException | None]:
        """As ``asyncio.gather``, but if one start fails, so do all: ranks wait for each other."""
        assert return_exceptions
        tasks = [asyncio.ensure_future(each) for each in starts]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if any(each.done() and each.exception() is not None for each in tasks):
            await self.give_up("another rank did not come up")
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def renew(self) -> None:
        """Have a new world of as many ranks; whoever asks meanwhile waits for the same one.

        Raises:
            StartError: it did not come up.
        """
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_future()
            self._registry.spawn(self._renew(self._renewing))
        await asyncio.shield(self._renewing)

    async def _renew(self, renewing: asyncio.Future[None]) -> None:
        engines = self._registry.engines
        error: BaseException | None = asyncio.CancelledError()
        try:
            for placed in engines.values():
                placed.lost = placed.lost or "it is being restarted"
            self._registry.changed()
            await self.end("it was restarted")
            await self._registry.add([None] * len(engines), sorted(engines))
            error = None
        except StartError as failure:
            error = failure
            for placed in engines.values():
                placed.lost = f"it could not be restarted: {failure}"
            self._registry.changed()
        finally:
            self._renewing = None
            if error is None:
                renewing.set_result(None)
            elif isinstance(error, asyncio.CancelledError):
                renewing.cancel()
            else:
                renewing.set_exception(error)
                renewing.exception()  # mark it as retrieved: perhaps nobody waits

    def _died_unasked(self, burial: asyncio.Task[None]) -> None:
        if self._options.restart == "on-death":
            self._registry.spawn(self._restart_by_policy(burial))

    async def _restart_by_policy(self, burial: asyncio.Task[None]) -> None:
        await asyncio.wait([burial])
        placed = dict(self._registry.engines)
        lost = {engine_id: each.lost for engine_id, each in placed.items()}

        def tell(what: str) -> None:
            for engine_id, each in placed.items():
                told = each.node.known["dead"].get(str(engine_id), "its MPI world has died")
                each.lost = f"{lost[engine_id] or told}; {what}"
            self._registry.changed()

        dead = DeadEngine(
            format_ids(placed),
            is_dead=lambda: self._renewing is None and self._registry.engines == placed,
            restart=self.renew,
            tell=tell,
        )
        await restart_by_policy(self._policy, dead, self._log)
