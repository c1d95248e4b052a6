from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kernelfleet.cli.controller_log import logging_to_file
from kernelfleet.wire.files.fleet_paths import log_dir

LOG = logging.getLogger("kernelfleet.tests")


def test_a_start_that_ends_early_leaves_no_file() -> None:
    with logging_to_file(LOG, "sweep", logging.INFO, to_stderr=False):
        LOG.info("engine 0 did not come up")
    assert not log_dir("sweep").exists()
    assert not LOG.handlers


def test_when_the_fleet_is_ready_all_is_written_also_what_came_before() -> None:
    with logging_to_file(LOG, "sweep", logging.INFO, to_stderr=False) as file:
        LOG.info("removed what a crashed fleet had left")
        file.begin()
        LOG.info("engine 1 died")
        path = log_dir("sweep") / "controller.log"
        lines = path.read_text().splitlines()
        LOG.debug("not wanted")
    assert [line.partition(" INFO ")[2] for line in lines] == [
        "removed what a crashed fleet had left",
        "engine 1 died",
    ]
    assert path.read_text().splitlines() == lines
    assert path.stat().st_mode & 0o777 == 0o600


def test_where_there_can_be_no_log_a_start_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "file"))
    with (
        pytest.raises(OSError, match="set JUPYTER_DATA_DIR to a directory that you can write to"),
        logging_to_file(LOG, "sweep", logging.INFO, to_stderr=False),
    ):
        raise AssertionError("it has begun")
    assert not LOG.handlers
