"""The end of a log file."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelfleet.server.logs import tail


@pytest.mark.parametrize("length", [1, 50, 5000])
def test_the_last_lines_are_read_however_long_they_are(tmp_path: Path, length: int) -> None:
    lines = [f"{number} {'x' * length}" for number in range(500)]
    path = tmp_path / "log"
    path.write_text("\n".join(lines) + "\n")
    assert tail(path, 3) == (lines[-3:], True)
    assert tail(path, 500) == (lines, False)
    assert tail(path, 0) == ([], True)


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "log", 10) == ([], False)


def test_bytes_that_are_no_text_are_shown_as_such(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\xff\n")
    assert tail(path, 10) == (["a\ufffd"], False)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "log").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="log"):
        tail(tmp_path / "log", 10)
