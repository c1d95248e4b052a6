"""One real engine per test module, reset before each test; and engines to be ended.

Modules that depend on how an engine was started run twice: spawned, and forked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelfleet.provisioners.forkserver import ForkServer
from kernelfleet.provisioners.kinds import kind_of
from tests.engine.driver import Engine

RUN_TWICE = {
    "test_app",
    "test_asyncio_run",
    "test_departure",
    "test_execution",
    "test_interrupts",
    "test_iopub",
    "test_kernel",
    "test_processes",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "launch" in metafunc.fixturenames:
        twice = metafunc.module.__name__.rpartition(".")[2] in RUN_TWICE
        # Forked is the default of fleets; the other way is held by the slow run.
        spawned = pytest.param("spawned", marks=pytest.mark.slow) if twice else "spawned"
        launches = [spawned, "forked"] if twice else [spawned]
        metafunc.parametrize("launch", launches, scope="module", indirect=True)


@pytest.fixture(scope="module")
def launch(request: pytest.FixtureRequest) -> str:
    """How engines are started."""
    return str(request.param)


@pytest.fixture(scope="module")
def fork_server(launch: str) -> Iterator[ForkServer | None]:
    """None where engines are spawned."""
    if launch == "spawned":
        yield None
        return
    server = ForkServer(kind_of([], os.environ))
    yield server
    server.close()


@pytest.fixture(scope="module")
def shared_engine(fork_server: ForkServer | None) -> Iterator[Engine]:
    # not tmp_path: Unix socket paths must be short
    folder = Path(tempfile.mkdtemp(prefix="kf-"))
    engine = Engine(folder, fork_server=fork_server)
    try:
        engine.set_up(engine_id=3, n_engines=4)
        yield engine
    finally:
        engine.close()
        shutil.rmtree(folder)


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    shared_engine.reset()
    return shared_engine


@pytest.fixture
def start_engine(fork_server: ForkServer | None) -> Iterator[Callable[..., Engine]]:
    """For tests after which the engine is gone."""
    started: list[Engine] = []

    def start(*arguments: str) -> Engine:
        folder = Path(tempfile.mkdtemp(prefix="kf-"))
        engine = Engine(folder, *arguments, fork_server=fork_server)
        started.append(engine)
        engine.set_up()
        return engine

    yield start
    for engine in started:
        engine.close()
        shutil.rmtree(engine.folder)
