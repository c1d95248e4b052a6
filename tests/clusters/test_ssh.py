"""ssh.py: a node per host, started over ssh, which says what is installed there."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet import __version__
from kernelfleet.clusters import hosts
from kernelfleet.clusters.ssh import SSHHosts
from kernelfleet.errors import StartError
from tests.fleets import eventually
from tests.nodes import make_ssh, path_with


class Watcher:
    def __init__(self) -> None:
        self.left: list[tuple[str, str]] = []

    def worker_came(self, worker: str) -> None: ...

    def worker_left(self, worker: str, reason: str) -> None:
        self.left.append((worker, reason))


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = make_ssh(tmp_path)
    monkeypatch.setenv("PATH", path_with(folder))
    return folder  # type: ignore[return-value]


def spec(**fields: Any) -> Any:
    return {
        "name": "n", "host": None, "client_key": "x" * 40, "embedded": True, "cwd": None,
        "on_start": None, "fork": True, "preload": [], "insecure_kernel": False,
        "restart": "never", "limits": {}, "gpus": 0, "mpi": False, **fields,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("hosts", "why"),
    [("", "no hosts"), (" , ", "no hosts"), ("a,b,a", "twice"), ("-oProxyCommand=x", "no name")],
)
def test_hosts_that_make_no_sense_are_refused(hosts: str, why: str) -> None:
    with pytest.raises(StartError, match=why):
        SSHHosts(hosts, Watcher())


def test_a_node_says_where_it_listens_and_its_end_is_told(ssh: Path) -> None:
    watcher = Watcher()
    hosts = SSHHosts("one", watcher)
    started = hosts.start({"one": spec()}, lambda _: True)["one"]
    assert started.report is not None
    assert started.report["url"].startswith("tcp://127.0.0.1:")
    assert started.installation is not None
    assert started.installation.executable == sys.executable
    assert started.installation.kernelfleet == __version__
    hosts.close()
    eventually(lambda: watcher.left != [])
    assert watcher.left[0][0] == "one"


def test_where_the_installation_does_not_fit_nothing_is_started(ssh: Path) -> None:
    started = SSHHosts("one", Watcher()).start({"one": spec()}, lambda _: False)["one"]
    assert started.installation is not None
    assert started.report is None


def test_what_ssh_says_of_a_host_is_told(ssh: Path) -> None:
    (ssh / "away").write_text("Permission denied (publickey).\n")
    hosts = SSHHosts("away,one", Watcher())
    started = hosts.start({"away": spec(), "one": spec()}, lambda _: False)
    assert started["away"].installation is None
    assert started["away"].said == "Permission denied (publickey)."
    assert started["one"].installation is not None


def test_the_interpreter_can_be_named(ssh: Path) -> None:
    hosts = SSHHosts("one /nowhere/python", Watcher())
    started = hosts.start({"one": spec()}, lambda _: True)["one"]
    assert "/nowhere/python" in started.said


def test_a_command_that_does_not_heed_its_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "END_SECONDS", 0.2)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(); signal.pause()"
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    process.stdout.readline()
    hosts.end(process)
    assert process.returncode == -signal.SIGKILL
