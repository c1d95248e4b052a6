"""host.py: a fleet's parts come and go together. Engines that cannot start need no process."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from kernelfleet.controller import host as host_module
from kernelfleet.controller.host import DirectoryKeeper, FleetHost
from kernelfleet.controller.lifecycle.registry import EngineRegistry
from kernelfleet.controller.options import FleetOptions
from kernelfleet.errors import FleetExists, StartError
from kernelfleet.wire.files import fleet_paths
from kernelfleet.wire.files.fleet_directory import FleetDirectory
from tests.fleets import until

LOG = logging.getLogger("tests.host")


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        await test()

    asyncio.run(asyncio.wait_for(body(), 20))


def options(name: str, **fields: Any) -> FleetOptions:
    return FleetOptions(kernels=(None, None), name=name, **fields)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the registry is asked to start, which it does not."""
    asked: list[Any] = []

    async def add(_self: EngineRegistry, kernels: Any) -> None:
        asked.append(kernels)

    monkeypatch.setattr(EngineRegistry, "add", add)
    return asked


def test_a_fleet_takes_its_name_starts_its_engines_and_leaves_nothing(starts: list[Any]) -> None:
    async def test() -> None:
        host = await FleetHost.launch(options("hosted"), zmq.Context.instance(), LOG)
        assert starts == [(None, None)]
        path = host.directory.path
        assert path.is_dir()
        with pytest.raises(FleetExists, match="hosted"):
            FleetHost(options("hosted"), zmq.Context.instance(), LOG)
        assert path.is_dir()  # the other one was not disturbed
        await asyncio.gather(host.stop(), host.stop())
        assert not path.exists()
        again = await FleetHost.launch(options("hosted"), zmq.Context.instance(), LOG)
        await again.stop()

    run(test)


def test_an_embedded_fleet_says_in_its_file_whose_it_is(starts: list[Any]) -> None:
    async def test() -> None:
        fleet = options("embedded-1", embedded=True)
        host = await FleetHost.launch(fleet, zmq.Context.instance(), LOG)
        assert '"embedded": true' in (host.directory.path / "fleet.json").read_text()
        await host.stop()
        assert not fleet_paths.log_dir("embedded-1").exists()

    run(test)


def test_engines_that_do_not_start_end_the_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    async def add(_self: EngineRegistry, _kernels: Any) -> None:
        raise StartError("engine 1 did not come up")

    async def test() -> None:
        monkeypatch.setattr(EngineRegistry, "add", add)
        with pytest.raises(StartError, match="engine 1 did not come up"):
            await FleetHost.launch(options("hosted"), zmq.Context.instance(), LOG)
        assert not fleet_paths.fleet_dir("hosted").exists()

    run(test)


def test_a_part_that_cannot_be_made_gives_the_name_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    async def test() -> None:
        monkeypatch.setattr(host_module, "LogKeeper", fail)
        with pytest.raises(OSError, match="no space left"):
            await FleetHost.launch(options("hosted"), zmq.Context.instance(), LOG)
        assert not fleet_paths.fleet_dir("hosted").exists()

    run(test)


def test_the_end_goes_on_when_who_asked_for_it_gives_up(starts: list[Any]) -> None:
    async def test() -> None:
        host = await FleetHost.launch(options("hosted"), zmq.Context.instance(), LOG)
        stopping = asyncio.ensure_future(host.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])
        await host.stop()
        assert not host.directory.path.exists()

    run(test)


def test_a_start_that_takes_long_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []

    async def add(_self: EngineRegistry, _kernels: Any) -> None:
        await until(lambda: len(told) > 1)

    async def test() -> None:
        monkeypatch.setattr(EngineRegistry, "add", add)
        monkeypatch.setattr(host_module, "PROGRESS_SECONDS", 0.005)
        slow = options("hosted", on_progress=lambda *how: told.append(how))
        host = await FleetHost.launch(slow, zmq.Context.instance(), LOG)
        await host.stop()
        assert told[0] == (0, 0)

    run(test)


def test_a_directory_that_was_deleted_is_made_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        monkeypatch.setattr(host_module, "DIRECTORY_CHECK_SECONDS", 0.005)
        directory = FleetDirectory("hosted")
        keeper = DirectoryKeeper(directory, LOG)
        shutil.rmtree(directory.path)
        with caplog.at_level(logging.WARNING):
            await until(lambda: Path(directory.path).is_dir())
            await until(lambda: "which somebody had deleted" in caplog.text)
        keeper.close()
        assert not directory.path.exists()

    run(test)


def test_a_directory_that_cannot_be_made_again_is_complained_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        directory = FleetDirectory("hosted")
        keeper = DirectoryKeeper(directory, LOG)

        def fail() -> bool:
            raise OSError("no space left")

        monkeypatch.setattr(directory, "restore", fail)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                keeper.restore()
        assert [each.getMessage() for each in caplog.records] == [
            "the directory of this fleet was deleted, and stays so: no space left"
        ]
        keeper.close()

    run(test)
