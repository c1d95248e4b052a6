"""Fleets are asked while somebody looks on, and only then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kernelfleet.errors.tree import ControllerUnreachable
from kernelfleet.results import EngineInfo, EngineList
from kernelfleet.server import watching as module
from kernelfleet.server.starting import Starts, starting
from kernelfleet.server.view import View
from kernelfleet.server.watching import Watching
from kernelfleet.wire.files.connection_file import FleetFile
from tests.fleets import until


class FakeFleets:
    """Fleets whose engines a test sets; ``hangs`` has the names of those that do not answer."""

    def __init__(self) -> None:
        self.engines_of: dict[str, EngineList] = {}
        self.hangs: set[str] = set()
        self.error: Exception | None = None
        self.asked = 0

    async def running(self) -> dict[str, FleetFile]:
        if self.error is not None:
            raise self.error
        return {
            name: FleetFile(name=name, pid=1, host="here", started=0.0, key="k")
            for name in self.engines_of
        }

    async def client(self, fleet: FleetFile) -> Any:
        world = self

        class Client:
            async def engines(self, *, block: bool) -> EngineList:
                assert not block
                world.asked += 1
                if fleet.name in world.hangs:
                    await asyncio.Event().wait()
                return world.engines_of[fleet.name]

        return Client()


def engines(*states: str) -> EngineList:
    return EngineList(EngineInfo(id=i, state=state) for i, state in enumerate(states))


@pytest.fixture
def fleets(monkeypatch: pytest.MonkeyPatch) -> FakeFleets:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    return FakeFleets()


def run(fleets: FakeFleets, work: Callable[[Watching], Awaitable[None]]) -> None:
    async def main() -> None:
        watching = Watching(fleets, Starts(), logging.getLogger("test"))  # type: ignore[arg-type]
        try:
            await work(watching)
        finally:
            await watching.close()

    asyncio.run(main())


def test_who_looks_on_hears_of_changes_and_of_the_end(fleets: FakeFleets) -> None:
    async def work(watching: Watching) -> None:
        fleets.engines_of["a"] = engines("idle")
        with watching.looking(View()):
            await watching.changed(0)
            seen = watching.version
            fleets.engines_of["a"] = engines("idle", "busy")
            await watching.changed(seen)
            found = watching.board.get("a")
            assert found is not None
            assert found["counts"] == {"idle": 1, "busy": 1}
            del fleets.engines_of["a"]
            await until(lambda: watching.board.names == [])

    run(fleets, work)


def test_nobody_looks_and_nothing_is_asked(fleets: FakeFleets) -> None:
    async def work(watching: Watching) -> None:
        fleets.engines_of["a"] = engines("idle")
        with watching.looking(View()), watching.looking(View()):
            await until(lambda: fleets.asked > 2)
        await until(lambda: not watching._asking)
        asked = fleets.asked
        for _ in range(10):
            await asyncio.sleep(0.01)
        assert fleets.asked == asked

    run(fleets, work)


def test_a_fleet_that_does_not_answer_is_shown_so_and_delays_no_other(fleets: FakeFleets) -> None:
    async def work(watching: Watching) -> None:
        fleets.engines_of.update(a=engines("idle"), b=engines("idle"))
        await watching.refresh()
        fleets.hangs.add("a")
        fleets.engines_of["b"] = engines("busy")
        await watching.refresh()
        a, b = watching.board.get("a"), watching.board.get("b")
        assert a is not None
        assert b is not None
        assert (a["state"], b["state"]) == ("unreachable", "running")
        assert a["problem"] is not None
        assert "has not answered" in a["problem"]["message"]
        assert a["engines"]  # as they were last seen
        fleets.hangs.clear()
        await watching.refresh()
        again = watching.board.get("a")
        assert again is not None
        assert (again["state"], again["problem"]) == ("running", None)

    run(fleets, work)


def test_an_error_is_shown_with_the_fleet(
    fleets: FakeFleets, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: FleetFile) -> Any:
        raise ControllerUnreachable("it refuses our key")

    async def work(watching: Watching) -> None:
        fleets.engines_of["a"] = engines()
        monkeypatch.setattr(fleets, "client", refuse)
        await watching.refresh()
        found = watching.board.get("a")
        assert found is not None
        assert found["problem"] is not None
        assert found["problem"]["reason"] == "ControllerUnreachable"

    run(fleets, work)


def test_starts_are_shown_until_they_are_over(fleets: FakeFleets) -> None:
    async def work(watching: Watching) -> None:
        watching._starts.states["new"] = starting("new")
        await watching.refresh()
        found = watching.board.get("new")
        assert found is not None
        assert found["state"] == "starting"
        del watching._starts.states["new"]
        await watching.refresh()
        assert watching.board.get("new") is None

    run(fleets, work)


def test_a_fault_while_looking_ends_with_its_cause(
    fleets: FakeFleets, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(watching: Watching) -> None:
        fleets.error = OSError("the runtime directory is broken")
        with watching.looking(View()):
            await until(lambda: "is broken" in caplog.text)
            fleets.error = None
            fleets.engines_of["a"] = engines("idle")
            await watching.changed(0)

    run(fleets, work)
