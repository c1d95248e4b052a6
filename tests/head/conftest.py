"""A fleet on two nodes of this machine that the tests of the head share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelfleet import Fleet, MultiEngineClient
from tests.fleets import make_ready
from tests.nodes import make_ssh, path_with


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        starts_nodes = {"shared_fleet", "start"} & set(getattr(item, "fixturenames", ()))
        if starts_nodes and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.nodes)


@pytest.fixture(scope="session")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an ``ssh`` that runs commands here."""
    return make_ssh(tmp_path_factory.mktemp("ssh"))


@pytest.fixture(scope="session")
def shared_fleet(ssh: Path) -> Iterator[Fleet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path_with(ssh))
        fleet = Fleet(4, cluster="ssh:one,two")
        fleet.start()
        yield fleet
        fleet.stop()


@pytest.fixture
def mec(shared_fleet: Fleet) -> Iterator[MultiEngineClient]:
    """A fresh client of engines 0 and 2 on one node, and 1 and 3 on another."""
    with shared_fleet.client() as client:
        make_ready(client)
        yield client


@pytest.fixture
def start(ssh: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., MultiEngineClient]]:
    """Start fleets of a test's own, whose nodes it may kill."""
    monkeypatch.setenv("PATH", path_with(ssh))
    started: list[Fleet] = []

    def start(n: int | None = 2, **options: object) -> MultiEngineClient:
        options.setdefault("cluster", "ssh:one,two")
        started.append(Fleet(n, **options))  # type: ignore[arg-type]
        return started[-1].start()

    yield start
    for fleet in started:
        fleet.stop()
