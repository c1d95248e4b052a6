"""Names of fleets: one winner in a race, and what a crashed fleet left is told or cleaned up."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import ControllerUnreachable, FleetNotFound
from kernelfleet.wire.files import connection_file, fleet_paths
from tests.fleets import eventually
from tests.journeys.daemons import OwnFleet

pytestmark = pytest.mark.slow

EXIT_ALREADY_RUNNING, EXIT_NOT_RUNNING = 10, 11


def kernelfleet(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kernelfleet.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def racing(name: str, go: Path) -> subprocess.Popen[str]:
    """A process that has loaded everything and starts its fleet when ``go`` is there."""
    code = f"""
import os, sys
import kernelfleet.cli.commands.start, kernelfleet.controller.daemon
from kernelfleet.cli.app import main
print('loaded', flush=True)
while not os.path.exists({str(go)!r}): pass
sys.argv = ['kernelfleet', 'start', '-n', '1', '--name', {name!r}]
sys.exit(main())
"""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True)


@pytest.mark.timeout(400)
def test_of_two_fleets_that_race_for_a_name_exactly_one_wins(tmp_path: Path) -> None:
    for round_number in range(20):
        go = tmp_path / f"go-{round_number}"
        both = [racing("raced", go), racing("raced", go)]
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline() == "loaded\n"
        go.touch()
        eventually(lambda both=both: any(p.poll() is not None for p in both), 20)  # type: ignore[misc]
        (loser,) = [process for process in both if process.poll() is not None]
        (winner,) = [process for process in both if process is not loser]
        assert winner.stdout is not None
        assert "is ready" in winner.stdout.readline()
        _, complaint = loser.communicate(timeout=20)
        assert loser.returncode == EXIT_ALREADY_RUNNING
        assert "a fleet named 'raced' is already running" in complaint
        with MultiEngineClient("raced") as mec:
            assert mec.apply(lambda: 1, timeout=20) == [1]
            assert mec._connection.fleet["pid"] == winner.pid
        winner.terminate()
        winner.communicate(timeout=20)
        assert winner.returncode == 0
        assert not fleet_paths.fleet_dir("raced").exists()


def crash(fleet: OwnFleet) -> OwnFleet:
    fleet.kill()
    eventually(lambda: not fleet.processes())
    return fleet


def test_what_a_crashed_fleet_left_is_not_taken_for_a_fleet_and_goes_with_the_next_start(
    own_fleet: Callable[..., OwnFleet],
) -> None:
    crashed = crash(own_fleet(1, transport="unix"))
    assert (crashed.directory / "fleet.json").exists()
    assert (crashed.directory / "client.sock").exists()

    assert crashed.name not in kernelfleet("list").stdout
    for command in ("status", "stop"):
        finished = kernelfleet(command, crashed.name)
        assert finished.returncode == EXIT_NOT_RUNNING
        assert f"no fleet '{crashed.name}' is running" in finished.stderr
    with pytest.raises((ControllerUnreachable, FleetNotFound), match="kernelfleet start"):
        MultiEngineClient(crashed.name)
    with pytest.raises(FleetNotFound):
        MultiEngineClient(("127.0.0.1", crashed.port))

    next_one = own_fleet(1, transport="unix")
    assert not crashed.directory.exists()
    assert next_one.client().get_ids() == [0]


def test_a_process_that_has_the_pid_of_a_crashed_controller_is_left_alone(
    own_fleet: Callable[..., OwnFleet],
) -> None:
    crashed = crash(own_fleet(1, transport="unix"))
    path = crashed.directory / "fleet.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": os.getpid()}))
    finished = kernelfleet("stop", crashed.name)
    assert finished.returncode == EXIT_NOT_RUNNING
    finished = kernelfleet("start", "-n", "1", "--name", crashed.name, "--daemonize")
    assert finished.returncode == 0, finished.stderr
    assert kernelfleet("stop", crashed.name).returncode == 0


def test_a_port_that_is_taken_is_named_or_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        finished = kernelfleet("start", "-n", "1", "--name", "port", "--port", str(port))
        assert finished.returncode == 1
        assert f"127.0.0.1:{port}" in finished.stderr
        assert "in use" in finished.stderr
        assert not fleet_paths.fleet_dir("port").exists()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", connection_file.DEFAULT_PORT))
            taken.listen()
        except OSError:
            pass  # it is taken already, by whomever
        finished = kernelfleet("start", "-n", "1", "--name", "port", "--daemonize")
        assert finished.returncode == 0, finished.stderr
        tcp = connection_file.read("port").tcp
        assert tcp is not None
        assert not tcp.endswith(f":{connection_file.DEFAULT_PORT}")
        assert kernelfleet("stop", "port").returncode == 0
