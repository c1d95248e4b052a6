"""The running fleets of this user, and one client for each that somebody looks at.

A client is made when it is first needed, and closed when nobody has needed it for a while. Whatever
might block (reading connection files, connecting, closing) is done by threads, which end as well
when nothing needs them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.wire.files.connection_file import FleetFile

T = TypeVar("T")

#: A client that nobody has used for so long is closed.
KEEP_SECONDS = 30.0
#: One for each fleet that is connected to at the same time; more wait.
MAX_THREADS = 32


@dataclass(eq=False)
class _Kept:
    """A client of one fleet, or the attempt to make it."""

    making: asyncio.Future[MultiEngineClient]
    key: str
    used: float = field(default=0.0)


class Fleets:
    """Finds fleets and keeps clients of them. Its methods are called on the server's loop."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._working = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        """Call a function that may block, in a thread."""
        loop = asyncio.get_running_loop()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="kernelfleet-server")
        self._working += 1
        self._plan_sweep()
        try:
            return await loop.run_in_executor(self._pool, function, *args)
        finally:
            self._working -= 1

    async def running(self) -> dict[str, FleetFile]:
        """The running fleets by name."""
        return {fleet.name: fleet for fleet in await self.in_thread(_find_fleets)}

    async def client(self, fleet: FleetFile) -> MultiEngineClient:
        """The client of a fleet, made now or kept from before.

        Raises:
            FleetNotFound: it has ended.
            ControllerUnreachable: its controller does not answer.
        """
        loop = asyncio.get_running_loop()
        kept = self._kept.get(fleet.name)
        if kept is not None and (kept.key != fleet.key or _is_over(kept)):
            self._let_go(fleet.name)
            kept = None
        if kept is None:
            making = loop.create_task(self.in_thread(_connect, fleet))
            kept = self._kept[fleet.name] = _Kept(making, fleet.key)
        kept.used = loop.time()
        try:
            return await asyncio.shield(kept.making)
        except BaseException:
            if kept.making.done() and self._kept.get(fleet.name) is kept:
                del self._kept[fleet.name]
            raise

    def _let_go(self, name: str) -> None:
        kept = self._kept.pop(name)
        closing = asyncio.get_running_loop().create_task(self._close(kept))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _close(self, kept: _Kept) -> None:
        with contextlib.suppress(Exception):  # (it could not be made)
            client = await kept.making
            await self.in_thread(client.close)

    def _plan_sweep(self) -> None:
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(KEEP_SECONDS / 2, self._sweep_now)

    def _sweep_now(self) -> None:
        """Close what nobody uses; the threads end with the last client."""
        self._sweep = None
        now = asyncio.get_running_loop().time()
        for name in [n for n, kept in self._kept.items() if now - kept.used > KEEP_SECONDS]:
            self._let_go(name)
        if self._kept or self._working or self._closing:
            self._plan_sweep()
        elif self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None

    async def close(self) -> None:
        """Close all clients and end the threads."""
        for name in list(self._kept):
            self._let_go(name)
        if self._closing:
            await asyncio.wait(self._closing)
        if self._sweep is not None:
            self._sweep.cancel()
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await asyncio.to_thread(pool.shutdown)


def _is_over(kept: _Kept) -> bool:
    """Whether a client cannot be used: it could not be made, or its fleet has ended."""
    from kernelfleet.client import access

    if not kept.making.done():
        return False
    if kept.making.cancelled() or kept.making.exception() is not None:
        return True
    return access.is_over(kept.making.result())


def _find_fleets() -> list[FleetFile]:
    from kernelfleet.wire.files import connection_file

    return connection_file.find_fleets()


def _connect(fleet: FleetFile) -> MultiEngineClient:
    from kernelfleet.client.client import MultiEngineClient

    return MultiEngineClient(fleet.name)
