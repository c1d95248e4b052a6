"""How a Python is started so that nothing of the current folder is imported before its time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernelfleet.wire.safe_start import SAFELY, is_python, module_index, safely

#: Tells what it was run as.
MODULE = """
import json, sys
print(json.dumps([__name__, sys.argv, [p for p in sys.path if p in ("", sys.argv[1])]]))
"""


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["python", "-m", "k", "-f", "x"], ["python", SAFELY, "k", "-f", "x"]),
        (["/b/python3.12", "-m", "k"], ["/b/python3.12", SAFELY, "k"]),
        (
            ["python", "-X", "dev", "-I", "-m", "k"],
            ["python", "-X", "dev", "-I", SAFELY, "k"],
        ),
        (["python", "script.py", "-m", "k"], None),
        (["python", "-c", "pass", "-m", "k"], None),
        (["python", "-m"], None),
        (["bash", "-m", "k"], None),
        (["python"], None),
        ([], None),
    ],
)
def test_a_module_is_run_from_code_and_nothing_else_is_touched(
    argv: list[str], expected: list[str] | None
) -> None:
    assert safely(argv) == (argv if expected is None else expected)


def test_a_python_is_known_by_its_name() -> None:
    pythons = ("python", "/usr/bin/python3", "python3.13", r"C:\Python\python.exe", "pypy3.11")
    assert all(map(is_python, (*pythons, "pythonw.exe")))
    assert not any(map(is_python, ("R", "python/run", "python-kernel", "xpython", "")))


def test_the_module_is_found_in_both_forms() -> None:
    assert module_index(["python", "-m", "k"]) == 2
    assert module_index(safely(["python", "-m", "k"])) == 2
    assert module_index(["python", "-X", "dev", "-m", "k"]) is None
    assert module_index(["python", "-c", "pass", "k"]) is None
    assert module_index(["python"]) is None


def run(folder: Path, *argv: str, **env: str) -> list[str]:
    done = subprocess.run(
        safely([sys.executable, *argv]),
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_module_runs_as_ever_without_the_folder_on_its_path(tmp_path: Path) -> None:
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    for each in (elsewhere, here):
        each.mkdir()
    (elsewhere / "told.py").write_text(MODULE)
    for name in ("runpy", "importlib", "json", "told"):
        (here / f"{name}.py").write_text("print('hijacked')")
    (line,) = run(here, "-m", "told", str(here), "-x", PYTHONPATH=str(elsewhere))
    name, argv, folders = json.loads(line)
    assert name == "__main__"
    assert argv == [str(elsewhere / "told.py"), str(here), "-x"]
    assert folders == []


def test_a_module_that_is_in_the_folder_alone_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    (line,) = run(tmp_path, "-m", "mine", str(tmp_path))
    assert json.loads(line)[2] == [""]


def test_a_safe_path_that_the_user_wants_is_left_whole(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text("import sys; print(sys.path[0], sys.flags.safe_path)")
    lines = run(tmp_path, "-m", "told", PYTHONPATH=str(tmp_path), PYTHONSAFEPATH="1")
    assert lines == [f"{tmp_path} True"]
