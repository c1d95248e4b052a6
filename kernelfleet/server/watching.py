"""Looking after fleets for as long as somebody looks on: asks them, and notes what has changed.

Nobody looks: nothing is asked, and no client is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterator
from logging import Logger
from typing import TYPE_CHECKING

from kernelfleet.server import problems
from kernelfleet.server.board import Board
from kernelfleet.server.description import describe_engine, describe_fleet
from kernelfleet.server.fleets import Fleets
from kernelfleet.server.spans import SpanLog
from kernelfleet.server.view import View

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.usage import Meter
    from kernelfleet.server.shapes import EngineRow, FleetHead, FleetState, Problem, Update
    from kernelfleet.server.starting import Starts
    from kernelfleet.wire.files.connection_file import FleetFile

#: How often fleets are asked: what is shown is at most so old.
LOOK_SECONDS = 0.5
#: A controller reads each engine's memory from the system, so large fleets are asked less often.
SECONDS_PER_ENGINE = 0.005
#: Over how much time the use of processors is measured at least.
METER_SECONDS = 1.0
#: A fleet that does not answer for so long is shown as unreachable; it is asked on.
ANSWER_SECONDS = 4.0


class Watching:
    """The board of all fleets, and their timelines, kept current while somebody looks on."""

    def __init__(self, fleets: Fleets, starts: Starts, log: Logger) -> None:
        self.board = Board()
        self.spans: dict[str, SpanLog] = {}
        #: Grows with each change of the board or of a timeline.
        self.version = 0
        #: When every fleet was last asked, by the clock of the loop.
        self.refreshed = -math.inf
        self._fleets, self._starts, self._log = fleets, starts, log
        self._meters: dict[str, Meter] = {}
        self._views: set[View] = set()
        self._task: asyncio.Task[None] | None = None
        #: By fleet: who asks it now, and when it is to be asked again.
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._due: dict[str, float] = {}
        self._changed = asyncio.Event()

    @contextlib.contextmanager
    def looking(self, view: View) -> Iterator[None]:
        """Have everything kept current that this view shows, meanwhile."""
        if not self._views:
            self._meters.clear()  # (they would tell the average of a long time)
            self._task = asyncio.get_running_loop().create_task(self._look())
        self._views.add(view)
        try:
            yield
        finally:
            self._views.remove(view)
            if not self._views and self._task is not None:
                self._task.cancel()
                self._task = None
                self.spans.clear()

    def news(self, view: View, now: float) -> Update | None:
        """What is new to a view; None if nothing is."""
        return view.update(self.board, self.spans, now)

    async def changed(self, since: int) -> None:
        """Return when there is another version than this."""
        while self.version == since:
            self._changed.clear()
            await self._changed.wait()

    async def _look(self) -> None:
        while True:
            try:
                await self._ask_all(due=asyncio.get_running_loop().time())
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

    async def _ask_all(self, due: float = math.inf) -> None:
        """Begin to ask the fleets that are due and are not being asked; forget those that ended."""
        self.refreshed = asyncio.get_running_loop().time()
        running = await self._fleets.running()
        for name in self.board.names:
            if name not in running and name not in self._starts.states:
                self._forget(name)
        for state in list(self._starts.states.values()):
            if state["name"] not in running:
                self._put(state, [])
        for name, fleet in running.items():
            if name not in self._asking and self._due.get(name, 0.0) <= due:
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
        loop = asyncio.get_running_loop()
        self._due[fleet.name] = loop.time() + len(rows) * SECONDS_PER_ENGINE
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                client = await self._fleets.client(fleet)
                asked = client.engines(block=False)
                if any(view.wants_timeline(fleet.name) for view in self._views):
                    await self._ask_timeline(client, fleet.name)
                engines = self._meter(fleet.name).look(await asked)
            rows = list(map(describe_engine, engines))
        except TimeoutError:
            state, problem = "unreachable", _silent(fleet)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is shown with the fleet)
            state, problem = "unreachable", problems.problem(error)
        self._put(describe_fleet(fleet, state, rows, problem), rows)

    async def _ask_timeline(self, client: MultiEngineClient, name: str) -> None:
        from kernelfleet.client import access

        log = self.spans.setdefault(name, SpanLog())
        version = log.version
        while log.take(await access.ask_timeline(client, log.mark)):
            pass
        if log.version != version:
            self._note_change()

    def _meter(self, name: str) -> Meter:
        from kernelfleet.client.usage import Meter

        return self._meters.setdefault(name, Meter(METER_SECONDS))

    def _put(self, head: FleetHead, rows: list[EngineRow]) -> None:
        if self.board.put(head, rows):
            self._note_change()

    def _forget(self, name: str) -> None:
        for known in (self._meters, self.spans, self._due):
            known.pop(name, None)
        if self.board.remove(name):
            self._note_change()

    def _note_change(self) -> None:
        self.version += 1
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
