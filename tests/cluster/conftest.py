"""Hosts, certificates and clusters. A test that lacks something is skipped with a reason."""

from __future__ import annotations

import gc
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import hosts
from tests.cluster import slurm as slurm_module
from tests.cluster import sshd as sshd_module
from tests.cluster.certificates import Certificates
from tests.cluster.dask_hosts import DaskHosts
from tests.cluster.fleets import FleetOnHosts, assert_nothing_of_ours
from tests.cluster.hosts import Network
from tests.cluster.slurm import Slurm
from tests.cluster.sshd import Sshd

HOSTS = 3
#: Whether a test of these has run.
USES_DASK = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    """A folder that all hosts see."""
    folder = Path(tempfile.mkdtemp(prefix="kf-c-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class Laboratory:
    """Three hosts for all tests of this process, and what runs on them from test to test."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.dask: DaskHosts | None = None

    def quiet(self) -> Network:
        """The hosts as after their first start."""
        if self.dask is not None:
            self.dask.close()
            self.dask = None
        for host in self.network.hosts:
            host.clean()
        return self.network

    def with_dask(self, certificates: Certificates) -> DaskHosts:
        """The hosts with a worker of Dask on each; anew if a test has ended one of them."""
        if self.dask is None or not self.dask.is_whole:
            self.quiet()
            self.dask = DaskHosts(self.network, certificates)
            for host in self.network.hosts:
                self.dask.worker(host)
            self.dask.wait(len(self.network.hosts))
        return self.dask


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            ignored = "ignore::pytest.PytestUnraisableExceptionWarning"
            item.add_marker(pytest.mark.filterwarnings(ignored))


@pytest.fixture(autouse=True)
def sockets_of_dask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Dask's clients and clusters leave sockets and files to the garbage collector.

    Here and now, where its complaints are let go, and not in a test of anything else.
    """
    request.config.stash[USES_DASK] = True
    collect()
    yield
    collect()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What the last test had is free only now."""
    if session.config.stash.get(USES_DASK, False):
        collect()


def collect() -> None:
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    finally:
        sys.unraisablehook = before


@pytest.fixture(scope="session")
def laboratory(shared_folder: Path) -> Iterator[Laboratory]:
    """The hosts of this process."""
    reason = hosts.why_not()
    if reason:
        pytest.skip(reason)
    network = Network(HOSTS, shared_folder)
    laboratory = Laboratory(network)
    yield laboratory
    laboratory.quiet()
    network.close()


@pytest.fixture
def network(laboratory: Laboratory) -> Iterator[Network]:
    """Three hosts as after their first start; whatever a test does to them is undone."""
    yield laboratory.quiet()
    laboratory.quiet()


@pytest.fixture(scope="session")
def certificates(shared_folder: Path) -> Certificates:
    """For Dask's TLS."""
    if shutil.which("openssl") is None:
        pytest.skip("certificates need openssl")
    return Certificates(shared_folder / "certificates")


@pytest.fixture
def dask_hosts(laboratory: Laboratory, certificates: Certificates) -> Iterator[DaskHosts]:
    """A Dask scheduler here, and a worker with two slots on each host, all with mutual TLS."""
    pytest.importorskip("distributed", reason="Dask on hosts needs distributed")
    import dask

    with dask.config.set(certificates.settings):
        yield laboratory.with_dask(certificates)
    for host in laboratory.network.hosts:
        laboratory.network.cables.mend(host)


@pytest.fixture
def on_hosts(dask_hosts: DaskHosts) -> Iterator[Callable[..., FleetOnHosts]]:
    """Start a fleet on three hosts; nothing of it is left on them afterwards."""
    started: list[FleetOnHosts] = []

    def start(n: int = 6, **options: Any) -> FleetOnHosts:
        started.append(FleetOnHosts(dask_hosts, n, **options))
        return started[-1]

    yield start
    for each in started:
        each.fleet.stop()
    assert_nothing_of_ours(dask_hosts.network)


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
