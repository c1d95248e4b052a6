"""Hosts, certificates and clusters. A test that lacks something is skipped with a reason."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import hosts
from tests.cluster.certificates import Certificates
from tests.cluster.hosts import Network

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
