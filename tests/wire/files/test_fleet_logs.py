"""Reading logs that grow and that are rotated; tests/cli/commands/test_logs.py finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelfleet.wire.files.fleet_logs import follow, last_lines


@pytest.mark.parametrize("ending", ["", "\n"])
def test_the_last_lines_of_a_long_file_are_whole(tmp_path: Path, ending: str) -> None:
    log = tmp_path / "engine-0.log"
    log.write_text("\n".join("x" * 1000 + str(number) for number in range(300)) + ending)
    assert last_lines(log, 200).splitlines() == ["x" * 1000 + str(n) for n in range(100, 300)]
    assert last_lines(log, 999).count("x0") == 1
    assert last_lines(log, 0) == ""


def test_following_gives_what_comes_also_across_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "controller.log"
    log.write_bytes(b"one\n")
    texts = (text for text in follow(log, poll=0) if text)
    assert next(texts) == b"one\n"
    with log.open("ab") as file:
        file.write(b"two\n")
    assert next(texts) == b"two\n"
    log.rename(tmp_path / "controller.log.1")
    with (tmp_path / "controller.log.1").open("ab") as file:
        file.write(b"late\n")
    log.write_bytes(b"three\n")
    assert next(texts) == b"late\n"
    assert next(texts) == b"three\n"
    log.write_bytes(b"4\n")  # written anew, shorter
    assert next(texts) == b"4\n"
