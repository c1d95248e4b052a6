from __future__ import annotations

import io

import pytest

from kernelfleet.cli.progress import StartProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_redraws_itself_and_goes() -> None:
    terminal = Terminal()
    progress = StartProgress(terminal)
    progress.show(0, 64)
    progress.show(40, 64)
    progress.close()
    progress.close()
    assert terminal.getvalue() == (
        "\rstarting: 0 of 64 engines answer\x1b[K\rstarting: 40 of 64 engines answer\x1b[K\r\x1b[K"
    )


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    file = io.StringIO()
    progress = StartProgress(file)
    progress.show(0, 1)
    now += 1
    progress.show(0, 1)
    now += 5
    progress.show(1, 1)
    progress.close()
    assert file.getvalue() == "starting: 0 of 1 engine answer\nstarting: 1 of 1 engine answer\n"


def test_a_file_that_is_for_somebody_elses_words_gets_none() -> None:
    file = io.StringIO()
    StartProgress(file, to_files=False).show(0, 1)
    assert file.getvalue() == ""
