"""The table of processes: each with its parent and its beginning, whatever its name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kernelfleet.controller.processes import table


def test_each_process_is_there_with_its_parent_and_in_the_order_of_their_beginnings() -> None:
    with subprocess.Popen(["sleep", "300"]) as child:
        try:
            found = {row.pid: row for row in table.rows()}
        finally:
            child.kill()
    mine, its = found[os.getpid()], found[child.pid]
    assert its.parent == os.getpid()
    assert mine.parent == os.getppid()
    assert set(psutil.pids()) & found.keys() >= {1, os.getpid(), os.getppid()}
    if sys.platform.startswith("linux"):
        assert found[os.getppid()].started <= mine.started < its.started


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there names are in no table")
def test_a_name_may_look_like_the_rest_of_the_line(tmp_path: Path) -> None:
    program = shutil.copy("/bin/sleep", tmp_path / ") R 1 (1 2")
    with subprocess.Popen([program, "300"]) as child:
        try:
            began = table.started(child.pid)
            (row,) = (row for row in table.rows() if row.pid == child.pid)
            ticks = psutil.Process(child.pid).create_time() - psutil.boot_time()
        finally:
            child.kill()
    assert row == (child.pid, os.getpid(), began)
    assert began == pytest.approx(ticks * os.sysconf("SC_CLK_TCK"), abs=1)


def test_nobody_has_no_beginning() -> None:
    assert table.started(None) == table.started(2**22 + 1) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a file of Linux")
def test_an_environment_is_read_whole() -> None:
    big = "x" * 100_000
    with subprocess.Popen(["sleep", "300"], env={"ONE": big, "TWO": "2"}) as child:
        try:
            deadline = time.monotonic() + 5
            while b"TWO=2" not in table.environment(child.pid) and time.monotonic() < deadline:
                pass  # until it runs the program
            text = table.environment(child.pid)
        finally:
            child.kill()
    assert text == f"ONE={big}\0TWO=2\0".encode()
    with pytest.raises(OSError, match="No such"):
        table.environment(2**22 + 1)
