"""Fleets on hosts that a real sshd lets us in to: ours alone, and Dask's SSHCluster."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from kernelfleet import Fleet
from kernelfleet.errors import StartError
from tests.cluster.certificates import Certificates
from tests.cluster.fleets import assert_nothing_of_ours, seconds_until_told
from tests.cluster.hosts import Network
from tests.cluster.sshd import Sshd
from tests.fleets import eventually
from tests.nodes import path_with

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def ssh(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ``ssh`` that knows the keys of the test, as one whose user has them in ~/.ssh."""
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {sshd.client_conf} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", path_with(tmp_path))


@pytest.mark.usefixtures("ssh")
def test_hosts_of_ssh_alone(network: Network) -> None:
    hosts = ",".join(f"root@{host.address}" for host in network.hosts)
    with Fleet(6, cluster=f"ssh:{hosts}", per_node=2) as mec:
        names = mec.execute("import socket; socket.gethostname()").values()
        assert sorted(names) == sorted(2 * [host.name for host in network.hosts])
        assert [engine.node for engine in mec.engines()] == names
        lost = [engine for engine in range(6) if names[engine] == network.hosts[0].name]
        pending = mec.execute("import time; time.sleep(600)", targets=lost, block=False)
        eventually(pending.running)
        network.hosts[0].crash()
        seconds, _ = seconds_until_told(pending.result)
        assert seconds < 12.0  # as for a host that is cut off: nobody else tells of its end
        left = [engine for engine in range(6) if engine not in lost]
        assert mec.execute("engine_id", targets=left).values() == left
    assert_nothing_of_ours(network)


@pytest.mark.usefixtures("ssh")
def test_a_host_that_lets_nobody_in_is_named(network: Network) -> None:
    one, two, _ = network.hosts
    for process in two.find("sshd"):
        process.kill()
    with pytest.raises(StartError, match=rf"(?s){two.address}.*refused"):
        Fleet(2, cluster=f"ssh:root@{one.address},root@{two.address}").start()
    assert_nothing_of_ours(network)


def test_dasks_ssh_cluster(sshd: Sshd, network: Network, certificates: Certificates) -> None:
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("asyncssh", reason="SSHCluster needs asyncssh")
    addresses = [host.address for host in network.hosts]
    with (
        dask.config.set(certificates.settings),
        distributed.SSHCluster(
            [addresses[0], *addresses],  # the first is where the scheduler runs
            connect_options=sshd.for_asyncssh,
            remote_python=sys.executable,
            worker_options={"nthreads": 2},
            scheduler_options={"protocol": "tls://", "dashboard": False},
        ) as cluster,
        Fleet(6, cluster=cluster) as mec,
    ):
        names = mec.execute("import socket; socket.gethostname()").values()
        assert sorted(names) == sorted(2 * [host.name for host in network.hosts])
    assert_nothing_of_ours(network)
