"""Looking after fleets for as long as somebody looks on: asks them, and notes what has changed.

Nobody looks: nothing is asked, and no client is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from logging import Logger
from typing import TYPE_CHECKING

from kernelfleet.server import problems
from kernelfleet.server.board import Board
from kernelfleet.server.description import CpuMeter, describe_engine, describe_fleet
from kernelfleet.server.fleets import Fleets

if TYPE_CHECKING:
    from kernelfleet.results import EngineList
    from kernelfleet.server.shapes import EngineRow, FleetHead, FleetState, Problem
    from kernelfleet.server.starting import Starts
    from kernelfleet.wire.files.connection_file import FleetFile

#: How often fleets are asked: what is shown is at most so old.
LOOK_SECONDS = 0.5
#: A fleet that does not answer for so long is shown as unreachable; it is asked on.
ANSWER_SECONDS = 4.0


class Watching:
    """The board of all fleets, kept current while somebody looks on."""

    def __init__(self, fleets: Fleets, starts: Starts, log: Logger) -> None:
        self.board = Board()
        self._fleets, self._starts, self._log = fleets, starts, log
        self._meters: dict[str, CpuMeter] = {}
        self._lookers = 0
        self._task: asyncio.Task[None] | None = None
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Have the board kept current meanwhile."""
        self._lookers += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._look())
        try:
            yield
        finally:
            self._lookers -= 1
            if not self._lookers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def changed(self, since: int) -> None:
        """Return when the board has another version than this."""
        while self.board.version == since:
            self._changed.clear()
            await self._changed.wait()

    async def _look(self) -> None:
        while True:
            try:
                await self._ask_all()
            except Exception:  # noqa: BLE001 (whatever it is, it may be over the next time)
                self._log.exception("kernelfleet: looking for fleets failed")
            await asyncio.sleep(LOOK_SECONDS)

    async def refresh(self) -> None:
        """Ask every fleet once; returns when all have answered, or have had their time.

        What was asked before is waited for, but does not count: it may have been answered before
        the caller has changed something.
        """
        if self._asking:
            await asyncio.wait(self._asking.values())
        await self._ask_all()
        if self._asking:
            await asyncio.wait(self._asking.values())

    async def _ask_all(self) -> None:
        """Begin to ask every fleet that is not being asked; forget those that have ended."""
        running = await self._fleets.running()
        for name in self.board.names:
            if name not in running and name not in self._starts.states:
                self._forget(name)
        for state in list(self._starts.states.values()):
            if state["name"] not in running:
                self._put(state, [])
        for name, fleet in running.items():
            if name not in self._asking:
                self._asking[name] = asyncio.get_running_loop().create_task(self._ask(fleet))

    async def _ask(self, fleet: FleetFile) -> None:
        try:
            await self._ask_one(fleet)
        finally:
            del self._asking[fleet.name]

    async def _ask_one(self, fleet: FleetFile) -> None:
        state: FleetState = "running"
        problem: Problem | None = None
        rows = self.board.rows(fleet.name)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                client = await self._fleets.client(fleet)
                engines = await client.engines(block=False)
            rows = self._rows(fleet.name, engines)
        except TimeoutError:
            state, problem = "unreachable", _silent(fleet)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is shown with the fleet)
            state, problem = "unreachable", problems.problem(error)
        self._put(describe_fleet(fleet, state, rows, problem), rows)

    def _rows(self, name: str, engines: EngineList) -> list[EngineRow]:
        meter = self._meters.setdefault(name, CpuMeter())
        used = meter.measure(engines, asyncio.get_running_loop().time())
        return [describe_engine(engine, used[engine.id]) for engine in engines]

    def _put(self, head: FleetHead, rows: list[EngineRow]) -> None:
        if self.board.put(head, rows):
            self._changed.set()

    def _forget(self, name: str) -> None:
        self._meters.pop(name, None)
        if self.board.remove(name):
            self._changed.set()

    async def close(self) -> None:
        """End all tasks."""
        tasks = [*self._asking.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _silent(fleet: FleetFile) -> Problem:
    return {
        "message": f"fleet {fleet.name!r} (pid {fleet.pid}) has not answered for "
        f"{ANSWER_SECONDS:g} s",
        "reason": "TimeoutError",
        "remedy": "Wait until the process that has it is free again, or stop the fleet.",
    }
