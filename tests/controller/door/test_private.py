"""Other processes come in to an embedded fleet, by a door that is this user's alone."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from kernelfleet import (
    CompositeError,
    ControllerUnreachable,
    Fleet,
    FleetError,
    FleetExists,
    FleetNotFound,
    MultiEngineClient,
)
from kernelfleet.controller.door import server
from kernelfleet.wire.files.connection_file import FleetFile, find_fleets, read
from tests.fleets import eventually

ELSEWHERE = """
import sys
from kernelfleet import MultiEngineClient
with MultiEngineClient(sys.argv[1]) as mec:
    mec["b"] = bytes(3_000_000)
    print(mec.pull("a"), [result.value for result in mec.execute("a + engine_id")], flush=True)
    sys.stdin.readline()
"""


def file_of(fleet: Fleet) -> FleetFile:
    assert fleet.name is not None
    return read(fleet.name)


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    fleet = Fleet(2, name="of-this-test")
    fleet.start()
    yield fleet
    fleet.stop()


def test_another_process_of_this_user_shares_the_engines(fleet: Fleet) -> None:
    mec = fleet.client()
    mec["a"] = 5
    command = [sys.executable, "-c", ELSEWHERE, str(fleet.name)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "[5, 5] [5, 6]\n"
        assert [len(each) for each in mec["b"]] == [3_000_000] * 2  # (as shared memory)
    assert other.returncode == 0
    mec.close()


def test_it_is_listed_with_its_owner(fleet: Fleet) -> None:
    (found,) = [each for each in find_fleets() if each.name == "of-this-test"]
    assert (found.embedded, found.pid, found.owner) == (True, os.getpid(), "session")
    assert found.tcp is None


def test_the_door_is_this_users_alone(fleet: Fleet) -> None:
    path = Path(str(file_of(fleet).ipc).removeprefix("ipc://"))
    assert stat.S_ISSOCK(path.lstat().st_mode)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.lstat().st_mode) & 0o777 == 0o700
    assert stat.S_IMODE(file_of(fleet).path.lstat().st_mode) == 0o600


def test_without_the_key_nobody_comes_in(fleet: Fleet, tmp_path: Path) -> None:
    text = file_of(fleet).path.read_text()
    other = tmp_path / "fleet.json"
    other.write_text(text.replace(file_of(fleet).key, "00" * 32))
    with pytest.raises(ControllerUnreachable, match="refuses our key"):
        MultiEngineClient(other)


def test_its_own_process_may_use_the_door_as_well(fleet: Fleet) -> None:
    with fleet.client() as mec, MultiEngineClient(fleet.name) as other:
        other["c"] = 1
        assert mec["c"] == [1, 1]


def test_several_fleets_of_one_process_have_a_door_each(fleet: Fleet) -> None:
    second = Fleet(1)
    mec = second.start()
    name = second.name
    with MultiEngineClient(name) as other, MultiEngineClient(fleet.name) as first:
        mec["a"] = 7
        assert (other["a"], len(first)) == ([7], 2)
    second.stop()
    assert name not in [each.name for each in find_fleets()]


def test_the_clients_of_others_hear_of_its_end() -> None:
    fleet = Fleet(1)
    fleet.start()
    with MultiEngineClient(fleet.name) as other:
        pending = other.execute("import time; time.sleep(60)", block=False)
        eventually(lambda: other.engines()[0].state == "busy")
        fleet.stop()
        with pytest.raises(CompositeError, match="execute") as failed:
            pending.result(timeout=10)
        assert "FleetStopped: the fleet was stopped" in str(failed.value)
        with pytest.raises(ControllerUnreachable, match="the fleet was stopped"):
            other.get_ids()


def test_others_can_stop_it_and_the_owner_goes_on() -> None:
    fleet = Fleet(1)
    mec = fleet.start()
    with MultiEngineClient(fleet.name) as other:
        other.stop_fleet()
    eventually(lambda: not fleet.running)
    fleet.stop()  # returns when it has ended
    with pytest.raises(FleetError, match="this client is closed"):
        mec.execute("1")
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "kernelfleet-stop"])


def test_a_name_is_given_once(fleet: Fleet) -> None:
    with pytest.raises(FleetExists, match="of-this-test"):
        Fleet(1, name="of-this-test").start()
    with pytest.raises(ValueError, match="cannot name a fleet"):
        Fleet(1, name="a fleet")


def test_a_name_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another container with the same runtime directory may have a process of the same number."""
    names: list[str] = []

    def fleet_name(what: str, pid: int, number: int) -> str:
        names.append(f"{what}-{pid}-{number}" if names else "of-this-test")
        return names[-1]

    monkeypatch.setattr("kernelfleet.client.fleet.fleet_name", fleet_name)
    with Fleet(1, name="of-this-test-2"), Fleet(1) as mec:
        assert len(mec) == 1


def test_a_deleted_directory_is_made_again_with_the_door(fleet: Fleet) -> None:
    own = Fleet(1)
    own.start()
    path = file_of(own).path
    shutil.rmtree(path.parent)
    eventually(path.exists, 20)
    eventually(lambda: Path(str(file_of(own).ipc).removeprefix("ipc://")).exists())
    with MultiEngineClient(own.name) as other:
        assert len(other) == 1
    own.stop()


def test_a_fleet_whose_door_cannot_be_opened_serves_its_owner(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> str:
        raise zmq.ZMQError(24, "Too many open files")

    monkeypatch.setattr(server.Server, "listen_ipc", refuse)
    fleet = Fleet(1)
    mec = fleet.start()
    assert len(mec) == 1
    assert "Too many open files" in caplog.text
    assert fleet.name not in [each.name for each in find_fleets()]
    with pytest.raises(FleetNotFound, match="takes no clients"):
        MultiEngineClient(fleet.name)
    fleet.stop()


def test_a_fleet_leaves_nothing_of_its_door() -> None:
    with Fleet(1):
        pass
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        fleet = Fleet(1)
        fleet.start()
        with MultiEngineClient(fleet.name):
            pass
        fleet.stop()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
