"""The whole run has Jupyter directories of its own, and two fleets that all tests share.

One fleet is embedded; the other is a daemon, which serves the Unix socket and TCP alike. Each is
started when a test first wants it. A test gets a fresh client and engines without a past.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Every run draws the same, so that what fails fails again; and the machine may be busy.
settings.register_profile("kernelfleet", derandomize=True, deadline=None)
settings.load_profile("kernelfleet")

# Before anything of Jupyter is imported, and short: Unix socket paths end at 107 bytes.
HOME = Path(tempfile.mkdtemp(prefix="kf-t-", dir="/tmp"))
for _variable, _folder in {
    "JUPYTER_RUNTIME_DIR": "run",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_CONFIG_DIR": "config",
    "IPYTHONDIR": "ipython",
}.items():
    os.environ[_variable] = str(HOME / _folder)
# Registered before kernelfleet's own, so that it runs after: fleets are stopped by then.
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

from kernelfleet import Fleet, MultiEngineClient  # noqa: E402
from tests.fleets import SharedFleets, make_ready  # noqa: E402
from tests.gate import Gate  # noqa: E402

TRANSPORTS = ("embedded", "unix", "tcp")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(text): the line of the interface a test holds")


@pytest.fixture(scope="module", autouse=True)
def _short_collections() -> None:
    """Let collections of garbage walk over what this module makes only.

    Some tests collect often, and after 2,000 tests there is a lot to walk over.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def fleets() -> Iterator[SharedFleets]:
    shared = SharedFleets()
    yield shared
    shared.stop()


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """How a test's clients reach the fleet; parametrize ``transport`` to pin it."""
    return str(request.param)


@pytest.fixture
def connect(fleets: SharedFleets, transport: str) -> Iterator[Callable[[], MultiEngineClient]]:
    """Make clients of the shared fleet."""
    clients: list[MultiEngineClient] = []

    def connect() -> MultiEngineClient:
        clients.append(fleets.client(transport))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def mec(connect: Callable[[], MultiEngineClient]) -> MultiEngineClient:
    """A fresh client of four engines without a past."""
    with connect() as cleaner:
        make_ready(cleaner)
    return connect()


@pytest.fixture
def start_fleet() -> Iterator[Callable[..., MultiEngineClient]]:
    """Start fleets of a test's own, whose engines it may kill."""
    started: list[Fleet] = []

    def start(n: int = 2, **options: object) -> MultiEngineClient:
        started.append(Fleet(n, **options))  # type: ignore[arg-type]
        return started[-1].start()

    yield start
    for fleet in started:
        fleet.stop()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Hold engines in a command until the test lets them go."""
    gate = Gate(HOME)
    yield gate
    gate.open()
