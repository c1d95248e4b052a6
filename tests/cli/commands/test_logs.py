from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet import FleetNotFound
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.files.fleet_logs import log_file
from kernelfleet.wire.files.fleet_paths import log_dir

CLI = Callable[..., tuple[int, str, str]]


def write_logs(name: str) -> Path:
    directory = log_dir(name)
    directory.mkdir(parents=True)
    (directory / "controller.log").write_text("engine 1 died\n")
    (directory / "engine-1.log").write_text("Segmentation fault\n")
    return directory


def test_the_log_of_the_controller_or_of_an_engine(cli: CLI) -> None:
    write_logs("sweep")
    assert cli("logs", "sweep") == (0, "engine 1 died\n", "")
    assert cli("logs", "sweep", "--engine", "1") == (0, "Segmentation fault\n", "")


def test_without_a_name_it_is_the_running_fleet_else_the_last_default_one(
    running: Callable[..., FleetFile],
) -> None:
    default = write_logs("default")
    assert log_file(None, None) == default / "controller.log"
    running("sweep")
    sweep = write_logs("sweep")
    assert log_file(None, 1) == sweep / "engine-1.log"


def test_no_log_is_told_with_what_there_is(cli: CLI) -> None:
    write_logs("sweep")
    code, _, err = cli("logs", "sweep", "--engine", "7")
    assert code == 11
    assert "no engine-7.log (there is controller.log, engine-1.log)" in err
    code, _, err = cli("logs", "nobody")
    assert code == 11
    assert "nothing in" in err


def test_the_last_lines_alone(cli: CLI) -> None:
    log = write_logs("sweep") / "engine-1.log"
    log.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert cli("logs", "sweep", "--engine", "1", "-n", "2")[1] == "line 49998\nline 49999\n"
    assert cli("logs", "sweep", "--lines", "5")[1] == "engine 1 died\n"
    assert cli("logs", "sweep", "--lines", "0") == (0, "", "")


def test_a_name_cannot_lead_elsewhere(cli: CLI) -> None:
    code, _, err = cli("logs", "../../secrets")
    assert code == 2
    assert "cannot name a fleet" in err


def test_a_fleet_without_logs_is_not_found() -> None:
    with pytest.raises(FleetNotFound, match="kernelfleet list"):
        log_file(None, None)
