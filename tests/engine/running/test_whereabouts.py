"""whereabouts.py: the call that the main thread is in."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet.engine.running import whereabouts


def shown_in(source: str, file: str, look: Callable[[], object] = lambda: None) -> str:
    """What is said of code that is in the call ``here()``."""
    found: list[str] = []

    def here(*_: object) -> None:
        look()
        found.append(whereabouts._call_in(sys._getframe(1)))

    linecache.cache[file] = len(source), None, source.splitlines(True), file
    exec(compile(source, file, "exec"), {"here": here})
    return found[0]


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("x = 1\ny = 'é', here(  x )", "here(  x ) in line 2"),
        ("here(\n    1,\n)", "here( in line 1"),
        ("here(" + "1, " * 100 + ")", "here(" + "1, " * 25 + "... in line 1"),
    ],
)
def test_the_call_is_shown_as_it_was_written(source: str, shown: str) -> None:
    assert shown_in(source, "<a cell>") == shown


def test_the_file_is_named_if_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.touch()
    assert shown_in("here()", str(file)) == f"here() in line 1 of {file}"


def test_code_without_a_source_has_a_line() -> None:
    assert shown_in("here()", "<gone>", lambda: linecache.cache.pop("<gone>")) == "line 1"


def test_this_process_is_somewhere() -> None:
    assert "whereabouts.py" in whereabouts.whereabouts()
