"""Fleets that the server starts: what is asked for, and what becomes of it."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelfleet import errors
from kernelfleet.server import starting
from kernelfleet.server.problems import BadBody
from kernelfleet.server.starting import Starts, check_new_fleet, command, folder, free_name
from kernelfleet.wire import platforms
from tests.fleets import until


def test_a_body_may_say_nothing() -> None:
    assert check_new_fleet(None) == check_new_fleet({}) == check_new_fleet({"n": None}) == {}


@pytest.mark.parametrize(
    "body", [[], "x", {"n": "4"}, {"n": True}, {"n": 0}, {"name": 4}, {"engines": 4}, {"cwd": []}]
)
def test_a_wrong_body_is_refused(body: Any) -> None:
    with pytest.raises(BadBody):
        check_new_fleet(body)


def test_the_first_free_name_is_taken() -> None:
    assert free_name(set()) == "default"
    assert free_name({"x"}) == "default"
    assert free_name({"default", "fleet-2", "fleet-4"}) == "fleet-3"


def test_a_folder_is_relative_to_what_the_server_shows(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert folder(None, str(tmp_path)) == folder("", str(tmp_path)) == str(tmp_path)
    assert folder("sub", str(tmp_path)) == str(tmp_path / "sub")
    assert folder(str(tmp_path), "/elsewhere") == str(tmp_path)
    with pytest.raises(BadBody, match="no folder"):
        folder("not there", str(tmp_path))


def test_the_command_line_has_what_was_asked_for() -> None:
    line = command("a", {"n": 3, "kernel": "bash"})
    assert line[0] == sys.executable
    assert line[line.index("--name") :] == ["--name", "a", "-n", "3", "--kernel", "bash"]
    assert "--cluster" not in line


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have a start run some Python instead."""

    def run(code: str) -> None:
        monkeypatch.setattr(starting, "command", lambda *_: [sys.executable, "-c", code])

    return run


def test_a_start_that_fails_says_why_and_is_not_listed(runs: Any) -> None:
    async def start() -> None:
        with pytest.raises(errors.StartError, match=r"^no such kernel$"):
            await starts.start("a", {}, ".", 30)

    starts = Starts()
    runs("import sys; print('kernelfleet: no such kernel', file=sys.stderr); sys.exit(1)")
    asyncio.run(start())
    assert starts.states == {}


def test_a_system_without_daemons_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = dataclasses.replace(platforms.HERE, process_groups=False)
    monkeypatch.setattr(platforms, "HERE", windows)
    with pytest.raises(errors.StartError, match="kernelfleet start"):
        asyncio.run(Starts().start("a", {}, ".", 0))


@pytest.mark.parametrize(("code", "kind"), [(2, BadBody), (10, errors.FleetExists)])
def test_exit_codes_of_the_command_line_tell_errors_apart(code: int, kind: type) -> None:
    error = starting.start_error(code, "kernelfleet: text")
    assert type(error) is kind
    assert str(error) == "text"


def test_a_start_that_takes_long_goes_on_and_its_failure_is_listed(runs: Any) -> None:
    async def start() -> None:
        assert not await starts.start("a", {}, ".", 0)
        assert "a" in starts.states
        await until(lambda: starts.states["a"]["state"] == "failed")
        problem = starts.states["a"]["problem"]
        assert problem is not None
        assert (problem["message"], problem["reason"]) == ("late", "StartError")
        assert await starts.forget("a")
        assert not await starts.forget("a")

    starts = Starts()
    runs("import sys; sys.exit('late')")
    asyncio.run(start())


def test_who_asked_for_a_start_and_left_is_told_by_the_list(runs: Any) -> None:
    async def start() -> None:
        asking = asyncio.create_task(starts.start("a", {}, ".", 30))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert "a" in starts.states
        await until(lambda: not starts.states)

    starts = Starts()
    runs("pass")
    asyncio.run(start())


def test_who_waits_for_a_start_that_another_one_gives_up_is_told_so(
    runs: Any, tmp_path: Path
) -> None:
    async def start() -> None:
        asking = asyncio.create_task(starts.start("a", {}, ".", 30))
        await until(begun.exists)
        assert await starts.forget("a")
        again = asyncio.create_task(starts.start("a", {}, ".", 30))
        with pytest.raises(errors.FleetStopped, match="'a' was stopped while it started"):
            await asking
        assert "a" in starts.states  # of the second start
        begun.unlink()
        await until(begun.exists)
        assert await starts.forget("a")
        with pytest.raises(errors.FleetStopped):
            await again
        assert starts.states == {}

    starts, begun = Starts(), tmp_path / "begun"
    runs(f"import time, pathlib\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(60)")
    asyncio.run(start())


def test_a_fleet_that_was_there_when_its_start_was_given_up_is_ended(
    runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []

    async def stop(name: str) -> None:
        stopped.append(name)

    async def start() -> None:
        assert not await starts.start("a", {}, ".", 0)
        await until(begun.exists)
        assert await starts.forget("a")

    monkeypatch.setattr(starting, "end_by_force", stop)
    starts, begun = Starts(), tmp_path / "begun"
    runs(
        "import pathlib, time\n"
        "try:\n"
        f"    pathlib.Path({str(begun)!r}).touch()\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    pass"
    )
    asyncio.run(start())
    assert stopped == ["a"]


def test_a_start_can_be_given_up_and_ends_in_order(runs: Any, tmp_path: Path) -> None:
    async def start() -> None:
        assert not await starts.start("a", {}, ".", 0)
        await until(begun.exists)
        assert await starts.forget("a")
        assert starts.states == {}

    starts, begun, ended = Starts(), tmp_path / "begun", tmp_path / "ended"
    runs(
        "import signal, time, pathlib\n"
        "try:\n"
        f"    pathlib.Path({str(begun)!r}).touch()\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        f"    pathlib.Path({str(ended)!r}).touch()\n"
        "    raise SystemExit(130)\n"
    )
    asyncio.run(start())
    assert ended.exists()
