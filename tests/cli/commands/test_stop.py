from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.files.fleet_paths import fleet_dir

CLI = Callable[..., tuple[int, str, str]]

#: A process that holds the lock of a fleet as a controller does.
CONTROLLER = """
import os, signal, sys, time
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.files.fleet_directory import FleetDirectory
if sys.argv[1] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: (directory.remove(), os._exit(0)))
directory = FleetDirectory("sweep")
host, pid = sys.argv[2], os.getpid()
directory.write(FleetFile(name="sweep", pid=pid, host=host, started=time.time(), key=""))
print(flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def controller() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    processes = []

    def run(manner: str, host: str = platform.node()) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", CONTROLLER, manner, host]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"\n"
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def test_nothing_to_stop_is_told(cli: CLI) -> None:
    code, out, err = cli("stop", "sweep")
    assert (code, out) == (11, "")
    assert "no fleet 'sweep' is running" in err


def test_a_fleet_ends_in_order(
    cli: CLI, controller: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = controller("obedient")
    assert cli("stop") == (0, "Fleet 'sweep' is stopped.\n", "")
    assert process.wait(10) == 0
    assert not fleet_dir("sweep").exists()


def test_a_controller_that_does_not_listen_is_killed_and_swept_up(
    cli: CLI, controller: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = controller("deaf")
    code, out, err = cli("stop", "sweep", "--timeout", "0.1")
    assert (code, out) == (0, "Fleet 'sweep' is stopped.\n")
    assert "did not end within 0.1 s: killing it" in err
    assert process.wait(10) == -signal.SIGKILL
    assert not fleet_dir("sweep").exists()


def test_a_pid_of_another_host_is_nobodys_here(
    cli: CLI, controller: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = controller("obedient", "far-away.example")
    code, out, err = cli("stop", "sweep", "--timeout", "0.1")
    assert (code, out) == (1, "")
    assert "runs on the host 'far-away.example'" in err
    assert "run `kernelfleet stop sweep` there" in err
    assert process.poll() is None


def test_what_a_crashed_fleet_left_is_not_running(cli: CLI, home: Path) -> None:
    directory = home / "runtime_dir" / "kernelfleet" / "sweep"
    directory.mkdir(parents=True, mode=0o700)
    (directory / "lock").touch()
    left = FleetFile(name="sweep", pid=1, host="", started=0, key="")
    (directory / "fleet.json").write_text(json.dumps(asdict(left)))
    assert cli("stop", "sweep")[0] == 11
