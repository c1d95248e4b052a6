"""Keys of a terminal, one by one."""

from __future__ import annotations

import io
import os
import pty
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from kernelfleet.cli.keys import Keys


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, closefd=True) as stream:
        yield ours, stream
    os.close(ours)


@pytest.mark.parametrize(
    ("typed", "key"),
    [(b"q", "q"), (b"\x1b[A", "up"), (b"\x1bOB", "down"), (b"\x1b[6~", "page down")],
)  # fmt: skip
def test_keys_come_without_enter_and_by_name(
    terminal: tuple[int, TextIO], typed: bytes, key: str
) -> None:
    ours, stream = terminal
    with Keys(stream) as keys:
        assert keys.wait(0) is None
        os.write(ours, typed)
        assert keys.wait(5) == key


def test_the_terminal_is_left_as_it_was(terminal: tuple[int, TextIO]) -> None:
    _, stream = terminal
    before = termios.tcgetattr(stream)
    with Keys(stream):
        assert not termios.tcgetattr(stream)[3] & termios.ICANON
    assert termios.tcgetattr(stream) == before


@pytest.mark.parametrize("stream", [None, io.StringIO("q")])
def test_where_no_terminal_is_no_key_comes(stream: TextIO | None) -> None:
    with Keys(stream) as keys:
        assert keys.wait(0.001) is None
