from __future__ import annotations

import pytest

from kernelfleet.cli.base import Command
from kernelfleet.cli.commands.logs import Logs
from kernelfleet.cli.commands.run import Run
from kernelfleet.cli.commands.start import Start
from kernelfleet.cli.help import help_lines


def test_an_option_that_takes_one_of_a_few_words_lists_them() -> None:
    lines = help_lines(Start(), Start.usage, Command)
    assert any(line.startswith("  --restart {never,on-death} ") for line in lines)
    assert any(line.startswith("  -n, --engines N ") for line in lines)
    assert any("{DEBUG,INFO,WARN,ERROR,CRITICAL}" in line for line in lines)


@pytest.mark.parametrize("columns", [80, 100, 300])
def test_a_page_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in (Start, Run, Logs):
        lines = help_lines(command(), command.usage, Command)
        assert max(map(len, lines)) <= min(columns, 100)
    page = " ".join(" ".join(help_lines(Start(), Start.usage, Command)).split())
    assert "Whether an engine that died is started again, up to five times a minute." in page
