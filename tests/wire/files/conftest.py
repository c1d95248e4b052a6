"""A runtime directory of their own for the tests of a fleet's files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelfleet.wire.files.fleet_directory import FleetDirectory


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kf-t-") as folder:  # tmp_path is too long for sockets
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", f"{folder}/runtime")
        monkeypatch.setenv("JUPYTER_DATA_DIR", f"{folder}/data")
        yield Path(folder) / "runtime"


@pytest.fixture
def take(runtime: Path) -> Iterator[Callable[[str], FleetDirectory]]:
    taken: list[FleetDirectory] = []

    def take(name: str) -> FleetDirectory:
        taken.append(FleetDirectory(name))
        return taken[-1]

    yield take
    for each in taken:
        each.remove()
