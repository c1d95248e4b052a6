from __future__ import annotations

from kernelfleet.cli.base import Command
from kernelfleet.cli.help import help_lines
from kernelfleet.cli.start import Start


def test_an_option_that_takes_one_of_a_few_words_lists_them() -> None:
    lines = help_lines(Start(), Command)
    assert any(line.startswith("  --restart {never,on-death} ") for line in lines)
    assert any(line.startswith("  -n, --engines N ") for line in lines)
    assert any("{DEBUG,INFO,WARN,ERROR,CRITICAL}" in line for line in lines)
