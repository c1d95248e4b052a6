from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet import FleetExists
from kernelfleet.cli.commands.start import READY_FD, announcement
from kernelfleet.controller.options import FleetOptions
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.files.fleet_paths import log_dir

CLI = Callable[..., tuple[int, str, str]]
Running = Callable[..., FleetFile]


def test_the_announcement_says_what_runs_where_it_is_and_how_to_connect(running: Running) -> None:
    file = running(tcp="tcp://127.0.0.1:10105")
    text = announcement(file, 4)
    assert "4 engines" in text
    assert str(file.path) in text
    assert "MultiEngineClient()" in text
    assert "tcp://127.0.0.1:10105" in text
    assert text.endswith("kernelfleet stop")


def test_a_fleet_with_a_name_is_connected_to_and_stopped_by_name(running: Running) -> None:
    text = announcement(running("sweep"), 1)
    assert "1 engine," in text
    assert "MultiEngineClient('sweep')" in text
    assert "kernelfleet stop sweep" in text


def test_a_door_to_the_network_is_announced_as_one(running: Running) -> None:
    assert "10105 (encrypted)\n" in announcement(running(tcp="tcp://127.0.0.1:10105"), 4)
    text = announcement(running("far", tcp="tcp://10.0.0.5:10105"), 4)
    assert "tcp://10.0.0.5:10105 (encrypted, seen from the network)" in text


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch, running: Running) -> Iterator[SimpleNamespace]:
    """A stand-in for the controller that notes its options, logs a death and ends."""

    def run_daemon(
        options: FleetOptions, on_ready: Callable[[FleetFile], None], **_: object
    ) -> None:
        module.options = options
        on_ready(running(options.name))
        logging.getLogger("kernelfleet.controller").warning("engine 1 died")

    module = SimpleNamespace(run_daemon=run_daemon)
    monkeypatch.setitem(sys.modules, "kernelfleet.controller.daemon", module)
    hang_up = signal.getsignal(signal.SIGHUP)
    yield module
    signal.signal(signal.SIGHUP, hang_up)


def test_options_reach_the_controller(cli: CLI, daemon: SimpleNamespace) -> None:
    given = ["-n3", "--name", "sweep", "--no-tcp", "--kernel", "bash", "--no-fork"]
    given += ["--insecure-kernel"]
    given += ["--on-start", "x = 1", "--restart", "on-death", "--preload", "numpy, pandas"]
    assert cli("start", *given)[0] == 0
    nothing: Callable[[int], dict[str, str]] = lambda _: {}  # noqa: E731
    assert callable(daemon.options.on_progress)
    assert replace(daemon.options, on_progress=None, environment=nothing) == FleetOptions(
        kernels=("bash",) * 3,
        name="sweep",
        environment=nothing,
        tcp=False,
        on_start="x = 1",
        restart="on-death",
        preload=("numpy", "pandas"),
        fork=False,
        insecure_kernel=True,
        port=None,
        limits={},
    )
    assert cli("start", "--port", "4711")[0] == 0
    assert daemon.options.port == 4711
    assert daemon.options.host == "127.0.0.1"
    assert cli("start", "other", "--host", "10.0.0.5")[0] == 0
    assert daemon.options.host == "10.0.0.5"
    assert cli("start", "world", "--mpi", "--mpiexec", "srun -n {n}")[0] == 0
    assert (daemon.options.mpi, daemon.options.mpiexec) == (True, "srun -n {n}")
    assert cli("start", "another", "--mpi", "--ranks")[0] == 0
    assert daemon.options.ranks is not None
    assert (daemon.options.mpi, daemon.options.mpiexec) == (True, None)
    assert len(daemon.options.kernels) == len(os.sched_getaffinity(0))


def test_an_address_without_a_door_is_a_usage_error(cli: CLI, daemon: SimpleNamespace) -> None:
    code, out, err = cli("start", "--host", "10.0.0.5", "--no-tcp")
    assert (code, out) == (2, "")
    assert "--no-tcp" in err
    assert not hasattr(daemon, "options")


def test_limits_come_from_the_command_line_and_the_configuration_file(
    cli: CLI, daemon: SimpleNamespace, tmp_path: Path
) -> None:
    config = tmp_path / "limits.py"
    config.write_text("c.Limits.queue_length = 7\nc.Limits.result_count = 8\n")
    wanted = ("--Limits.queue_length=10", "--Limits.message_bytes=None")
    assert cli("start", *wanted, "--config", str(config))[0] == 0
    assert daemon.options.limits == {
        "queue_length": 10, "message_bytes": None, "result_count": 8,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--Limits.queue_lenght=1", "no setting Limits.queue_lenght (did you mean Limits.queue_l"),
        ("--Limits.queue_length=0", "queue_length"),
        ("--Limits.queue_length=many", "queue_length"),
    ],
)
def test_a_wrong_limit_is_a_usage_error(
    cli: CLI, daemon: SimpleNamespace, option: str, told: str
) -> None:
    code, out, err = cli("start", option)
    assert (code, out) == (2, "")
    assert told in err
    assert not hasattr(daemon, "options")


def test_limits_are_in_the_full_help(cli: CLI) -> None:
    _, out, _ = cli("start", "--help-all")
    assert "--Limits.queue_length=<Int>" in out
    assert "Requests that may wait for one engine" in out


@pytest.mark.usefixtures("daemon")
def test_in_the_foreground_deaths_are_seen_and_logged(cli: CLI) -> None:
    handlers = list(logging.getLogger("kernelfleet").handlers)
    _, out, err = cli("start")
    assert "Fleet 'default' is ready" in out
    assert "WARNING engine 1 died" in err
    assert "engine 1 died" in (log_dir("default") / "controller.log").read_text()
    assert logging.getLogger("kernelfleet").handlers == handlers


def test_a_second_fleet_of_the_name_is_refused(
    cli: CLI, daemon: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **_options: object) -> None:
        raise FleetExists("a fleet named 'default' is already running; stop it first")

    monkeypatch.setattr(daemon, "run_daemon", refuse)
    code, out, err = cli("start")
    assert (code, out) == (10, "")
    assert err == "kernelfleet: a fleet named 'default' is already running; stop it first\n"


def test_a_detached_controller_reports_through_its_pipe(
    cli: CLI, daemon: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv(READY_FD, str(writer))
    code, out, err = cli("start", "--daemonize")
    with open(reader, encoding="utf-8") as reports:
        report = json.loads(reports.read())
    assert (code, out, err) == (0, "", "")
    assert "Fleet 'default' is ready" in report["ready"]
    assert READY_FD not in os.environ  # or the engines would have it


def test_a_detached_controller_reports_why_it_could_not_start(
    cli: CLI, daemon: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **_options: object) -> None:
        raise FleetExists("already running")

    monkeypatch.setattr(daemon, "run_daemon", refuse)
    reader, writer = os.pipe()
    monkeypatch.setenv(READY_FD, str(writer))
    assert cli("start")[0] == 10
    with open(reader, encoding="utf-8") as reports:
        assert json.loads(reports.read()) == {"error": "already running", "code": 10}


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        ('print(\'{"ready": "it is up"}\', file=pipe)', (0, "it is up\n", "")),
        (
            'print(\'{"error": "taken", "code": 10}\', file=pipe)',
            (10, "", "kernelfleet: taken\n"),
        ),
    ],
)
def test_daemonize_passes_on_what_the_detached_controller_reports(
    cli: CLI, monkeypatch: pytest.MonkeyPatch, child: str, expected: tuple[int, str, str]
) -> None:
    replace_the_child(monkeypatch, child)
    assert cli("start", "--daemonize") == expected


def test_daemonize_tells_when_the_controller_died_before_it_was_ready(
    cli: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_the_child(monkeypatch, "raise MemoryError")
    code, out, err = cli("start", "--daemonize")
    assert (code, out) == (1, "")
    assert "MemoryError" in err
    assert err.endswith("\nkernelfleet: the controller ended before it was ready\n")
    assert not log_dir("default").parent.exists()


def replace_the_child(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the detached process be this code instead of a controller."""
    start = subprocess.Popen

    def popen(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        assert command[:5] == [sys.executable, "-P", "-m", "kernelfleet.cli", "start"]
        prelude = f"import os; pipe = open(int(os.environ['{READY_FD}']), 'w')\n"
        return start([sys.executable, "-c", prelude + code], **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
