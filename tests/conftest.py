"""The whole run has Jupyter directories of its own, and two fleets that all tests share.

One fleet is embedded; the other is a daemon, which serves the Unix socket and TCP alike. Each is
started when a test first wants it. A test gets a fresh client and engines without a past.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, is_hypothesis_test, settings

# No deadline: the machine may be busy. No database: nothing is left in the working directory.
# The default run draws the same examples each time, so that what fails fails again.
settings.register_profile("fixed", derandomize=True, deadline=None)
# The long run draws fresh ones, and more of them, from a seed that it prints.
settings.register_profile("fresh", deadline=None, database=None, max_examples=1000, print_blob=True)
# A mutation is killed by the first example that fails; nobody reads which one is the smallest.
settings.register_profile(
    "mutations", derandomize=True, deadline=None, phases=[Phase.explicit, Phase.generate]
)
# The check for every few minutes (.ci/quick).
settings.register_profile("short", derandomize=True, deadline=None, max_examples=20)
settings.load_profile("fixed")

#: Set to anything, every run draws fresh examples.
FRESH_EXAMPLES = "KERNELFLEET_FRESH_EXAMPLES"

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
    if _draws_fresh_examples(config):
        settings.load_profile("fresh")
        # Hypothesis reads the option after this hook; processes of pytest-xdist inherit it.
        if config.option.hypothesis_seed is None:
            config.option.hypothesis_seed = str(random.getrandbits(32))


def pytest_report_header(config: pytest.Config) -> list[str]:
    if not _draws_fresh_examples(config):
        return []
    seed = config.option.hypothesis_seed
    return [f"fresh random examples: --hypothesis-seed={seed} draws the same once more"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long run has the property tests of the default run as well: fresh examples are new."""
    if _is_long(config):
        for item in items:
            if is_hypothesis_test(getattr(item, "obj", None)):
                item.add_marker("long")


def _draws_fresh_examples(config: pytest.Config) -> bool:
    return _is_long(config) or bool(os.environ.get(FRESH_EXAMPLES))


def _is_long(config: pytest.Config) -> bool:
    return re.search(r"(?<!not )\blong\b", config.option.markexpr) is not None


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


@pytest.fixture(scope="session")
def bash() -> str:
    """The name of a bash kernelspec, as ``python -m bash_kernel.install`` makes it."""
    folder = HOME / "data" / "kernels" / "bash"
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "argv": [sys.executable, "-m", "bash_kernel", "-f", "{connection_file}"],
        "display_name": "Bash",
        "language": "bash",
        "env": {"PS1": "$"},
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    return "bash"


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Hold engines in a command until the test lets them go."""
    gate = Gate(HOME)
    yield gate
    gate.open()
