"""The hosts are what they are taken for: a fault that does nothing would prove nothing."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.dask_hosts import DaskHosts
from tests.cluster.hosts import Capture, Host, Network, sh
from tests.cluster.slurm import Slurm
from tests.cluster.sshd import Sshd
from tests.fleets import eventually

pytestmark = pytest.mark.slow

#: Answers each line with the same line.
_ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 4000)) as server:
    print("up", flush=True)
    while True:
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as lines:
            try:
                for line in lines:
                    lines.write(line)
                    lines.flush()
            except OSError as error:
                print(type(error).__name__, flush=True)
"""


@contextmanager
def echo(host: Host) -> Iterator[socket.socket]:
    """A connection to a program on a host that repeats what it is told."""
    program = host.python(_ECHO, host.address)
    assert program.stdout is not None
    assert program.stdout.readline() == "up\n"
    with socket.create_connection((host.address, 4000), 5) as connection:
        yield connection
    program.end()


def test_each_has_a_name_processes_and_files_of_its_own(network: Network, tmp_path: Path) -> None:
    one, two, _ = network.hosts
    assert one.run("hostname").strip() == one.name
    one.run("touch", "/tmp/mine", "/dev/shm/mine", "/run/mine")
    seen = two.run("ls", "/tmp", "/dev/shm", "/run")
    assert "mine" not in seen
    assert tmp_path.name not in seen
    pids = two.run(sys.executable, "-c", "import psutil; print(*psutil.pids())").split()
    assert len(pids) == 2
    marker = network.folder / "shared"
    one.run("touch", str(marker))
    two.run("test", "-e", str(marker))


def test_a_crash_ends_everything_on_it(network: Network) -> None:
    one = network.hosts[0]
    with echo(one):
        (program,) = one.find("python")
        one.crash()
        assert not program.is_running()
        assert one.processes() == []


def test_an_unplugged_one_is_silent_and_goes_on_when_plugged_in(network: Network) -> None:
    one = network.hosts[0]
    with echo(one) as connection:
        network.cables.unplug(one)
        connection.settimeout(0.3)
        connection.sendall(b"hello\n")
        with pytest.raises(TimeoutError):
            connection.recv(10)
        network.cables.plug(one)
        connection.settimeout(20)
        assert connection.recv(10) == b"hello\n"


def test_a_reset_ends_connections_on_both_sides(network: Network) -> None:
    one = network.hosts[0]
    with echo(one) as connection:
        network.cables.reset(one)
        connection.settimeout(5)
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
        # and the program is told as well, so that it takes the next one
        with socket.create_connection((one.address, 4000), 5) as another:
            another.sendall(b"hello\n")
            assert another.recv(10) == b"hello\n"


def test_a_slow_cable_is_as_slow_as_asked_and_its_bytes_are_counted(network: Network) -> None:
    one = network.hosts[0]
    network.cables.slow(one, "80mbit")
    with echo(one) as connection:
        before, began = network.cables.into(one), time.monotonic()
        connection.sendall(bytes(5_000_000) + b"\n")
        received = 0
        while received < 5_000_001:
            received += len(connection.recv(1 << 20))
        took = time.monotonic() - began
        assert 0.9 < took < 10  # 5 MB each way at 10 MB/s, one after the other
        assert 5_000_000 < network.cables.into(one) - before < 6_500_000


def test_a_capture_has_what_crosses_the_bridge(network: Network, tmp_path: Path) -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("a capture needs tcpdump")
    with echo(network.hosts[0]) as connection:
        capture = Capture(network, tmp_path / "captured")
        marker = secrets.token_hex(12).encode()
        connection.sendall(marker + b"\n")
        assert connection.recv(100) == marker + b"\n"
        assert capture.stop().count(marker) == 2


def test_dask_workers_run_on_them_with_tls(dask_hosts: DaskHosts) -> None:
    assert dask_hosts.address.startswith("tls://")
    with dask_hosts.client() as client:
        names = client.run(os.uname)
    assert sorted(name.nodename for name in names.values()) == [
        host.name for host in dask_hosts.network.hosts
    ]


def test_slurm_runs_jobs_on_them(slurm: Slurm) -> None:
    said = slurm.folder / "said"
    slurm.ask("sbatch", "-N2", "-o", str(said), "--wrap", "srun -N2 hostname")
    eventually(lambda: not slurm.jobs, 30)
    assert sorted(said.read_text().split()) == [host.name for host in slurm.network.hosts[:2]]


def test_ssh_reaches_them(sshd: Sshd, network: Network) -> None:
    for host in network.hosts:
        where = sh("ssh", "-F", str(sshd.client_conf), f"root@{host.address}", "hostname")
        assert where.strip() == host.name


def test_whatever_was_done_to_them_is_undone(network: Network) -> None:
    one, two, three = network.hosts
    network.cables.unplug(one)
    network.cables.slow(two, "1mbit")
    three.crash()
    one.popen(["sleep", "1000"])
    for host in network.hosts:
        host.clean()
    with echo(one):
        two.assert_quiet(seconds=1)
        three.run("true")
        assert "1Mbit" not in sh("tc", "qdisc", "show", "dev", two.cable)
