"""What a notebook keeps of long results."""

from __future__ import annotations

from kernelfleet.display import layout
from kernelfleet.notebook.long_results import MAX_TEXT_LINES, bounded


def test_a_text_of_ordinary_length_stays_as_it_is() -> None:
    assert bounded("a\nb\n") == "a\nb\n"


def test_of_many_lines_head_and_tail_are_kept() -> None:
    lines = bounded("\n".join(map(str, range(5 * MAX_TEXT_LINES)))).split("\n")
    assert len(lines) <= MAX_TEXT_LINES + 1
    assert (lines[0], lines[-1]) == ("0", str(5 * MAX_TEXT_LINES - 1))
    assert "left out here" in lines[MAX_TEXT_LINES // 2]


def test_of_one_long_line_head_and_tail_are_kept() -> None:
    text = bounded("a" + "x" * 10 * layout.MAX_CHARACTERS + "z")
    assert len(text) < 2 * layout.MAX_CHARACTERS
    assert (text[0], text[-1]) == ("a", "z")
