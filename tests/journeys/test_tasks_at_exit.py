"""What was submitted to an executor is done before the program ends; Ctrl-C ends it instead."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.promises import promise

START = """
from kernelfleet import Fleet
def work(path, seconds):
    import time
    time.sleep(seconds)
    open(path, "w").close()
mec = Fleet(1).start()
pool = mec.executor()
for i in range(3):
    pool.submit(work, f"{folder}/{i}", SECONDS)
"""


def start(folder: Path, end: str, seconds: float = 0.05) -> subprocess.Popen[str]:
    code = START.replace("{folder}", str(folder)).replace("SECONDS", str(seconds)) + end
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def done(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@promise("7: tasks that were submitted are done before the program ends, however it does")
@pytest.mark.parametrize(
    "end",
    [
        pytest.param("", id="no shutdown", marks=pytest.mark.slow),
        pytest.param("pool.shutdown(wait=False)\nother = Fleet(1).start()", id="no waiting"),
        pytest.param("raise SystemExit(0)", id="exit", marks=pytest.mark.slow),
    ],
)
def test_tasks_are_done_before_the_program_ends(tmp_path: Path, end: str) -> None:
    process = start(tmp_path, end)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0
    assert done(tmp_path) == ["0", "1", "2"]


@promise("7: Ctrl-C ends an executor's tasks when the program ends")
@pytest.mark.parametrize("when", ["at the end", pytest.param("before it", marks=pytest.mark.slow)])
def test_ctrl_c_ends_tasks(tmp_path: Path, when: str) -> None:
    end = "print('ready', flush=True); import time; time.sleep(60)"
    if when == "at the end":  # it is in the wait that it says so
        end = (
            "work, wait = pool._work, pool._work.wait\n"
            "work.wait = lambda *a: print('ready', flush=True) or wait(*a)"
        )
    process = start(tmp_path, end, seconds=60)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert "interrupted, so 3 tasks of an executor are not done" in err
    assert "Exception ignored" not in err
    assert done(tmp_path) == []
