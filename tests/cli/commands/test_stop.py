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


#: A program with a fleet of its own, which tells what it knows of it when it gets a line.
OWNER = """
import sys
from kernelfleet import Fleet
fleet = Fleet(1, name="sweep")
fleet.start()
print("up", flush=True)
for _ in sys.stdin:
    print("running" if fleet.running else "stopped", flush=True)
"""


@pytest.fixture
def owner(home: Path) -> Iterator[subprocess.Popen[str]]:
    script = home / "sweep.py"
    script.write_text(OWNER)
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.stdin.close()


def test_a_fleet_of_another_program_is_stopped_by_its_name_only_and_the_program_goes_on(
    cli: CLI, owner: subprocess.Popen[str]
) -> None:
    assert owner.stdin is not None
    assert owner.stdout is not None
    code, out, err = cli("stop")
    assert (code, out) == (11, "")
    assert f"'sweep', which is part of sweep.py (pid {owner.pid})" in err
    assert "`kernelfleet stop sweep` ends the fleet alone" in err
    assert cli("stop", "sweep") == (0, "Fleet 'sweep' is stopped.\n", "")
    owner.stdin.write("and?\n")
    owner.stdin.flush()
    assert owner.stdout.readline() == "stopped\n"
    assert owner.poll() is None


@pytest.mark.slow
def test_a_program_whose_fleet_does_not_answer_is_not_killed(
    cli: CLI, owner: subprocess.Popen[str]
) -> None:
    owner.send_signal(signal.SIGSTOP)
    try:
        code, out, err = cli("stop", "sweep", "--timeout", "0.1")
        assert (code, out) == (1, "")
        assert f"is part of sweep.py (pid {owner.pid}), which does not answer" in err
    finally:
        owner.send_signal(signal.SIGCONT)
    assert owner.poll() is None
