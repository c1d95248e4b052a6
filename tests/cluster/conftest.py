"""Hosts, certificates and clusters. A test that lacks something is skipped with a reason."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import hosts
from tests.cluster import slurm as slurm_module
from tests.cluster import sshd as sshd_module
from tests.cluster.certificates import Certificates
from tests.cluster.dask_hosts import DaskHosts
from tests.cluster.hosts import Network
from tests.cluster.slurm import Slurm
from tests.cluster.sshd import Sshd

HOSTS = 3


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    """A folder that all hosts see."""
    folder = Path(tempfile.mkdtemp(prefix="kf-c-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def whole_network(shared_folder: Path) -> Iterator[Network]:
    """Three hosts, used by all tests of this process."""
    reason = hosts.why_not()
    if reason:
        pytest.skip(reason)
    network = Network(HOSTS, shared_folder)
    yield network
    network.close()


@pytest.fixture
def network(whole_network: Network) -> Iterator[Network]:
    """Three hosts as after their first start; whatever a test does to them is undone."""
    yield whole_network
    for host in whole_network.hosts:
        host.clean()


@pytest.fixture(scope="session")
def certificates(shared_folder: Path) -> Certificates:
    """For Dask's TLS."""
    if shutil.which("openssl") is None:
        pytest.skip("certificates need openssl")
    return Certificates(shared_folder / "certificates")


@pytest.fixture
def dask_hosts(network: Network, certificates: Certificates) -> Iterator[DaskHosts]:
    """A Dask scheduler with mutual TLS; a test starts the workers that it wants."""
    pytest.importorskip("distributed", reason="Dask on hosts needs distributed")
    import dask

    with dask.config.set(certificates.settings):
        hosts_of_dask = DaskHosts(network, certificates)
        yield hosts_of_dask
        hosts_of_dask.close()


@pytest.fixture
def slurm(network: Network, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """A real Slurm over all hosts, whose commands work in this process."""
    reason = slurm_module.why_not()
    if reason:
        pytest.skip(reason)
    slurm = Slurm(network)
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    yield slurm
    slurm.close()


@pytest.fixture
def sshd(network: Network) -> Sshd:
    """A real sshd on each host."""
    reason = sshd_module.why_not()
    if reason:
        pytest.skip(reason)
    return Sshd(network)
