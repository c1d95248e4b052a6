from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from kernelfleet.controller.logs import open_log, trim


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


def test_a_log_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "name").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="is a link"):
        open_log(tmp_path / "logs" / "name", 0, logging.getLogger("kernelfleet"))
