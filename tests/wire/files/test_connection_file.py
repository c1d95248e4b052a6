"""What the connection file says, and how a client finds it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.errors import FleetNotFound, SeveralFleets
from kernelfleet.wire.files import connection_file, fleet_paths
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.files.fleet_directory import FleetDirectory
from tests.wire.files.fleets import info

pytestmark = pytest.mark.usefixtures("runtime")


@pytest.mark.parametrize("by_path", [False, True], ids=["by name", "by path"])
def test_a_fifo_in_the_place_of_a_connection_file_hangs_nobody(
    take: Callable[[str], FleetDirectory], by_path: bool
) -> None:
    path = take("one").path / "fleet.json"
    os.mkfifo(path)
    with pytest.raises(FleetNotFound, match="is no file"):
        connection_file.read(path if by_path else "one")
    assert connection_file.find_fleets() == []


def test_keys_are_not_in_the_repr() -> None:
    assert "secret" not in repr(info("one", client_secret_key="secret"))


def test_what_is_written_is_read_by_name_and_by_path(take: Callable[[str], FleetDirectory]) -> None:
    written = info("one", tcp="tcp://127.0.0.1:10105", ipc="ipc:///x")
    path = take("one").write(written)
    assert connection_file.read("one") == written
    assert connection_file.read(path) == written
    assert connection_file.read(str(path)) == written
    assert written.path == path


def test_a_file_of_a_later_version_with_more_fields_is_read(
    take: Callable[[str], FleetDirectory],
) -> None:
    path = take("one").write(info("one"))
    path.write_text(path.read_text().replace("{", '{"a_new_field": 1,', 1))
    assert connection_file.read("one").name == "one"


def test_a_missing_fleet_is_told_with_those_that_run(take: Callable[[str], FleetDirectory]) -> None:
    with pytest.raises(FleetNotFound, match=r"no fleet 'two' \(none is running\); start one with"):
        connection_file.read("two")
    take("one").write(info("one"))
    with pytest.raises(FleetNotFound, match=r"running: one.*kernelfleet start --name two"):
        connection_file.read("two")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/nope/fleet.json", r"there is no connection file /nope/fleet\.json"),
        ("fleet.json", r"there is no connection file fleet\.json"),
        ("", "name cannot be empty"),
        ("tcp://127.0.0.1:10105", r"an address is a tuple, \('127.0.0.1', 10105\)"),
        ("localhost:10105", r"an address is a tuple, \('localhost', 10105\)"),
    ],
)
def test_what_can_be_no_fleets_name_is_told_so(name: str, told: str) -> None:
    with pytest.raises(FleetNotFound, match=told) as raised:
        connection_file.read(name)
    assert "--name" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ""), ("no json", ""), ("[]", "name, pid"), ("\0", ""),
        ("{}", "it says nothing of name, pid, host, started, key"),
        ('{"name": "x"}', "it says nothing of pid, host, started, key"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_connection_file_is_told_so(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(FleetNotFound, match=rf"x\.json is no connection file.*{told}") as raised:
        connection_file.read(tmp_path / "x.json")
    assert "__init__" not in str(raised.value)


def test_the_default_is_the_one_of_that_name_else_the_only_one(
    take: Callable[[str], FleetDirectory],
) -> None:
    take("one").write(info("one"))
    assert connection_file.find_default().name == "one"
    take("default").write(info("default"))
    assert connection_file.find_default().name == "default"


def test_without_a_fleet_the_error_says_how_to_start_one() -> None:
    with pytest.raises(FleetNotFound, match=r"kernelfleet start -n 4.*Fleet\(n=4\)"):
        connection_file.find_default()


def test_of_several_none_is_chosen_and_all_are_named(take: Callable[[str], FleetDirectory]) -> None:
    for name in ("two", "one"):
        take(name).write(info(name))
    with pytest.raises(FleetNotFound, match=r"several fleets are running.*'one', 'two'"):
        connection_file.find_default()


def test_an_embedded_fleet_is_found_when_its_door_is_open(
    take: Callable[[str], FleetDirectory],
) -> None:
    directory = take("sweep-1")
    directory.write(info("sweep-1", embedded=True))
    assert connection_file.find_fleets() == []
    directory.write(info("sweep-1", embedded=True, ipc="ipc:///x"))
    assert [fleet.name for fleet in connection_file.find_fleets()] == ["sweep-1"]
    assert connection_file.find_default().name == "sweep-1"


def embedded(name: str, pid: int, **facts: Any) -> FleetFile:
    return info(name, embedded=True, ipc="ipc:///x", pid=pid, **facts)


def test_fleets_of_notebooks_do_not_stand_in_the_way_of_a_daemon(
    take: Callable[[str], FleetDirectory],
) -> None:
    for pid in (1, 2):
        take(f"notebook-{pid}").write(embedded(f"notebook-{pid}", pid))
    take("sweep").write(info("sweep"))
    assert connection_file.find_default().name == "sweep"
    take("other").write(info("other"))
    with pytest.raises(SeveralFleets, match="'notebook-1', 'notebook-2', 'other', 'sweep'"):
        connection_file.find_default()


def test_without_a_daemon_the_fleet_of_this_process_is_meant(
    take: Callable[[str], FleetDirectory],
) -> None:
    take("a-1").write(embedded("a-1", 1, owner_path="/data/a.ipynb"))
    take("b-2").write(embedded("b-2", 2))
    with pytest.raises(SeveralFleets, match=r"'a-1' \(of a.ipynb\), 'b-2'"):
        connection_file.find_default()
    take("ours").write(embedded("ours", os.getpid(), host=platform.node()))
    assert connection_file.find_default().name == "ours"


def test_an_address_finds_the_fleet_that_listens_there(
    take: Callable[[str], FleetDirectory],
) -> None:
    take("one").write(info("one", tcp="tcp://127.0.0.1:10105"))
    take("two").write(info("two", tcp="tcp://127.0.0.1:10106"))
    assert connection_file.find_by_address("127.0.0.1", 10106).name == "two"
    assert connection_file.find_by_address("localhost", 10105).name == "one"
    with pytest.raises(FleetNotFound, match=r"127.0.0.1:10107 \(one at tcp:.*two at tcp:"):
        connection_file.find_by_address("127.0.0.1", 10107)


def test_a_half_started_fleet_is_not_found(take: Callable[[str], FleetDirectory]) -> None:
    take("starting")
    assert connection_file.find_fleets() == []
    assert fleet_paths.is_running("starting")


def test_a_connection_file_that_others_have_planted_is_not_found_by_name(
    take: Callable[[str], FleetDirectory], tmp_path: Path
) -> None:
    """Its controller would send us pickles."""
    path = take("one").write(info("one"))
    path.chmod(0o666)
    with pytest.raises(FleetNotFound, match="another user has written it, or could have"):
        connection_file.read("one")
    path.rename(tmp_path / "fleet.json")
    path.symlink_to(tmp_path / "fleet.json")
    with pytest.raises(FleetNotFound, match="symbolic links"):
        connection_file.read("one")
    assert connection_file.find_fleets() == []
