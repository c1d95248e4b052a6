"""Every test of the command line has Jupyter directories of its own, with no fleet in them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelfleet.cli.app import main
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.files.fleet_directory import FleetDirectory


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        monkeypatch.setenv(f"JUPYTER_{variable}", str(tmp_path / variable.lower()))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path


@pytest.fixture
def running() -> Iterator[Callable[..., FleetFile]]:
    """Make it look as if a fleet ran: its lock is held, by this process."""
    directories = []

    def run(name: str = "default", **facts: object) -> FleetFile:
        directory = FleetDirectory(name)
        directories.append(directory)
        file = FleetFile(
            name=name, pid=os.getpid(), host="here", started=time.time() - 65, key="a secret"
        )
        for fact, value in facts.items():
            setattr(file, fact, value)
        directory.write(file)
        return file

    yield run
    for directory in directories:
        directory.remove()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process: exit code, stdout, stderr."""

    def run(*argv: str) -> tuple[int, str, str]:
        try:
            code = main(list(argv))
        except SystemExit as end:  # --help and --version
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
