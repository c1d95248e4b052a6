from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from kernelfleet.controller import logs
from kernelfleet.controller.logs import (
    KEPT_SECONDS,
    add_output,
    engine_log,
    forget_old_logs,
    last_life,
    open_log,
    remove_engine_logs,
    tells_a_crash,
    trim,
)


def test_a_large_log_is_cut_down_to_its_last_part_and_can_be_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "engine-0.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"old\n" * 1000 + b"last words\n")
    assert trim(path, max_bytes=1000, kept_bytes=100)
    os.write(descriptor, b"more\n")
    os.close(descriptor)
    text = path.read_bytes()
    assert len(text) < 200
    assert text.startswith(b"[...]\n")
    assert text.endswith(b"last words\nmore\n")


def test_a_small_log_stays_as_it_is_and_a_missing_one_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "engine-0.log"
    path.write_bytes(b"few words\n")
    assert not trim(path)
    assert path.read_bytes() == b"few words\n"
    assert not trim(tmp_path / "engine-1.log")


def test_where_no_log_can_be_made_a_kernel_writes_to_the_null_device(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    descriptor = open_log(tmp_path / "file" / "logs" / "name", 3, logging.getLogger("kernelfleet"))
    assert os.readlink(f"/proc/self/fd/{descriptor}") == os.devnull
    os.close(descriptor)
    assert "engine 3 has no log" in caplog.text
    assert str(tmp_path) in caplog.text


def test_a_log_that_was_replaced_is_neither_followed_nor_waited_for(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"x" * 1000)
    (tmp_path / "engine-0.log").symlink_to(tmp_path / "precious")
    assert not trim(tmp_path / "engine-0.log", max_bytes=100, kept_bytes=10)
    assert (tmp_path / "precious").read_bytes() == b"x" * 1000
    os.mkfifo(tmp_path / "engine-1.log")
    assert not trim(tmp_path / "engine-1.log")
    assert not tells_a_crash(tmp_path / "engine-1.log")
    with pytest.raises(PermissionError, match="is no file"):
        open_log(tmp_path, 1, logging.getLogger("kernelfleet"))


def test_a_log_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "name").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="is a link"):
        open_log(tmp_path / "logs" / "name", 0, logging.getLogger("kernelfleet"))


LOG = logging.getLogger("kernelfleet")


def write(directory: Path, engine_id: int, text: str) -> Path:
    descriptor = open_log(directory, engine_id, LOG)
    os.write(descriptor, text.encode())
    os.close(descriptor)
    return engine_log(directory, engine_id)


def test_the_log_of_an_engine_goes_on_when_it_is_restarted(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", 1, "Fatal Python error: Segmentation fault\n")
    log = write(tmp_path / "a" / "b", 1, "a new life\n")
    first, fatal, second, last = log.read_text().splitlines()
    assert first.startswith("--- engine 1 started 20")
    assert fatal == "Fatal Python error: Segmentation fault"
    assert second.startswith("--- engine 1 started 20")
    assert last == "a new life"
    assert last_life(log.read_text()) == "a new life\n"
    assert last_life("no heading\n") == "no heading\n"


def test_what_a_kernel_of_others_prints_is_added_as_far_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 5)
    (tmp_path / "engine-0.log").touch()
    for text in ("gén\n", "1234567", "no room"):
        add_output(tmp_path / "engine-0.log", text)
    assert (tmp_path / "engine-0.log").read_text(encoding="utf-8") == "gén\n12345"
    add_output(tmp_path / "engine-1.log", "of which there is no log")
    assert not (tmp_path / "engine-1.log").exists()


def test_only_a_crash_of_the_present_life_is_told(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    log = write(directory, 0, "usual words\n")
    assert not tells_a_crash(log)
    write(directory, 0, "Fatal Python error: Aborted\n\nCurrent thread 0x01:\n")
    assert tells_a_crash(log)
    write(directory, 0, "")
    assert not tells_a_crash(log)
    assert not tells_a_crash(directory / "engine-7.log")


def test_a_fleet_begins_without_the_engine_logs_of_its_predecessors(tmp_path: Path) -> None:
    own = tmp_path / "logs" / "sweep"
    write(own, 0, "old")
    write(own, 7, "older")
    (own / "controller.log").write_text("goes on")
    forget_old_logs(own, lambda _: False)
    assert [path.name for path in own.iterdir()] == ["controller.log"]


def test_logs_of_fleets_that_ended_long_ago_are_removed(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    for name in ("old", "runs", "recent", "sweep"):
        path = write(directory / name, 0, "text")
        if name != "recent":
            for each in (path, path.parent):
                os.utime(each, (0, time.time() - KEPT_SECONDS - 60))
    forget_old_logs(directory / "sweep", lambda name: name == "runs")
    assert sorted(path.name for path in directory.iterdir()) == ["recent", "runs"]
    forget_old_logs(tmp_path / "nothing" / "here", lambda _: False)


def test_engine_logs_go_with_their_directory_unless_something_else_is_there(tmp_path: Path) -> None:
    write(tmp_path / "logs" / "a", 0, "text")
    write(tmp_path / "logs" / "b", 0, "text")
    (tmp_path / "logs" / "b" / "controller.log").touch()
    remove_engine_logs(tmp_path / "logs" / "a")
    remove_engine_logs(tmp_path / "logs" / "b")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "logs", "logs/b", "logs/b/controller.log",
    ]  # fmt: skip
