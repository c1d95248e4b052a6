from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernelfleet.engine.output import output_log
from kernelfleet.engine.output.output_log import OutputLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "engine-0.log"


def test_what_is_printed_is_added(path: Path) -> None:
    path.write_text("before\n")
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    log = OutputLog(fd)
    log.write("gén\n")
    log.write("lone \udc80\n")
    os.close(fd)
    assert path.read_text(encoding="utf-8") == "before\ngén\nlone \\udc80\n"
    log.write("the log is gone, and nothing depends on it")


def test_a_flood_does_not_fill_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_log, "MAX_BYTES", 10)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    log = OutputLog(fd)
    for _ in range(3):
        log.write("1234567")
    assert path.read_text() == "1234567123"
    os.truncate(path, 0)  # as the controller does, which looks after the logs
    log.write("again")
    os.close(fd)
    assert path.read_text() == "again"
