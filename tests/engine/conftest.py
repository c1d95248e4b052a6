"""One real engine per test module, reset before each test; and engines to be ended."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.driver import Engine


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[Engine]:
    # not tmp_path: Unix socket paths must be short
    folder = Path(tempfile.mkdtemp(prefix="kf-"))
    engine = Engine(folder)
    try:
        setup = engine.ask("fleet_setup_request", {"engine_id": 3, "n_engines": 4})
        assert setup["content"]["status"] == "ok"
        yield engine
    finally:
        engine.close()
        shutil.rmtree(folder)


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    shared_engine.reset()
    return shared_engine


@pytest.fixture
def start_engine() -> Iterator[Callable[..., Engine]]:
    """For tests after which the engine is gone."""
    started: list[Engine] = []

    def start(*arguments: str) -> Engine:
        engine = Engine(Path(tempfile.mkdtemp(prefix="kf-")), *arguments)
        started.append(engine)
        engine.ask("fleet_setup_request", {"engine_id": 0, "n_engines": 1})
        return engine

    yield start
    for engine in started:
        engine.close()
        shutil.rmtree(engine.folder)
