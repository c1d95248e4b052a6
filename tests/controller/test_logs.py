from __future__ import annotations

import os
from pathlib import Path

from kernelfleet.controller.logs import trim


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
