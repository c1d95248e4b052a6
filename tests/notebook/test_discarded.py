"""Whether a magic's value is thrown away by the code that calls it."""

from __future__ import annotations

import pytest

from kernelfleet.notebook.discarded import value_is_discarded
from tests.notebook.conftest import Shell


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%probe", [False]),
        ("%probe\n", [False]),
        ("x = %probe", [False]),
        ("%probe\n%probe", [True, False]),
        ("%probe\nx = 1", [True]),
        ("for i in range(2):\n    %probe", [True, True]),
        ("def f():\n    return get_ipython().run_line_magic('probe', '')\nf()", [False]),
        ("def f():\n    %probe\nf()", [True]),
        ("with open('/dev/null'):\n    %probe", [True]),
        ("%time %probe", [False]),
        ("%timeit -n 2 -r 1 %probe", [False, False]),
        ("%%probe\nbody", [False]),
        ("import asyncio\nawait asyncio.sleep(0)\n%probe\nx = 1", [True]),
    ],
)
def test_what_becomes_of_the_value_is_read_off_the_caller(
    bare: Shell, cell: str, expected: list[bool]
) -> None:
    seen: list[bool] = []

    def probe(line: str, cell: str | None = None) -> int:
        seen.append(value_is_discarded())
        return 1

    bare.ip.register_magic_function(probe, "line_cell", "probe")
    bare.run(cell)
    assert bare.error is None
    assert seen == expected


def test_outside_a_magic_nothing_is_discarded() -> None:
    assert value_is_discarded() is False
