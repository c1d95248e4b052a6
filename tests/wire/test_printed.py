"""printed.py: what a result says was printed, however it says it."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.wire.printed import printed

OUT = {"output_type": "stream", "name": "stdout", "text": "a\n"}
ERR = {"output_type": "stream", "name": "stderr", "text": "e\n"}
SHOWN = {"output_type": "display_data", "data": {"text/plain": "x"}}


@pytest.mark.parametrize(
    ("result", "stdout", "stderr"),
    [
        ({}, "", ""),
        ({"outputs": None}, "", ""),
        ({"outputs": [OUT, SHOWN, ERR, OUT]}, "a\na\n", "e\n"),
        ({"outputs": [OUT, ERR], "stdout": "cleared\na\n"}, "cleared\na\n", "e\n"),
        ({"outputs": [], "stdout": "cleared\n", "stderr": "c\n"}, "cleared\n", "c\n"),
    ],
)
def test_what_was_cleared_was_printed_all_the_same(
    result: dict[str, Any], stdout: str, stderr: str
) -> None:
    assert printed(result, "stdout") == stdout
    assert printed(result, "stderr") == stderr
