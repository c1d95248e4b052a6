"""One client for each fleet that somebody looks at, and none otherwise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kernelfleet.client import access
from kernelfleet.server import fleets as module
from kernelfleet.server.fleets import Fleets
from kernelfleet.wire.files.connection_file import FleetFile
from tests.fleets import until


class FakeClient:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        assert threading.current_thread() is not threading.main_thread()
        self.closed = True


class World:
    """The fleets that run, and the clients that were made of them."""

    def __init__(self) -> None:
        self.made: list[FakeClient] = []
        self.error: Exception | None = None

    def connect(self, fleet: FleetFile) -> FakeClient:
        assert threading.current_thread() is not threading.main_thread()
        del fleet
        if self.error is not None:
            raise self.error
        self.made.append(FakeClient())
        return self.made[-1]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(module, "_connect", world.connect)
    monkeypatch.setattr(access, "is_over", lambda client: client.closed)
    return world


def file(name: str = "a", key: str = "k") -> FleetFile:
    return FleetFile(name=name, pid=1, host="here", started=0.0, key=key)


def run(work: Callable[[Fleets], Awaitable[None]]) -> None:
    async def main() -> None:
        fleets = Fleets()
        try:
            await work(fleets)
        finally:
            await fleets.close()
            await until(lambda: not [t for t in threading.enumerate() if "server" in t.name])

    asyncio.run(main())


def test_all_who_ask_share_one_client_which_is_closed_in_the_end(world: World) -> None:
    async def work(fleets: Fleets) -> None:
        clients: Any = await asyncio.gather(*(fleets.client(file()) for _ in range(5)))
        assert {id(each) for each in clients} == {id(world.made[0])}
        assert not world.made[0].closed

    run(work)
    assert world.made[0].closed


def test_a_fleet_that_cannot_be_reached_is_tried_again(world: World) -> None:
    async def work(fleets: Fleets) -> None:
        world.error = OSError("away")
        with pytest.raises(OSError, match="away"):
            await fleets.client(file())
        world.error = None
        assert id(await fleets.client(file())) == id(world.made[0])

    run(work)


def test_a_successor_of_the_same_name_gets_a_client_of_its_own(world: World) -> None:
    async def work(fleets: Fleets) -> None:
        first = await fleets.client(file(key="first"))
        second = await fleets.client(file(key="second"))
        assert first is not second
        await until(lambda: world.made[0].closed)

    run(work)


def test_a_client_that_is_over_is_replaced(world: World) -> None:
    async def work(fleets: Fleets) -> None:
        first = await fleets.client(file())
        world.made[0].closed = True
        assert await fleets.client(file()) is not first

    run(work)


def test_what_nobody_uses_is_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_SECONDS", 0.05)

    async def work(fleets: Fleets) -> None:
        await fleets.client(file())
        await until(lambda: world.made[0].closed)
        await until(lambda: fleets._pool is None)

    run(work)
