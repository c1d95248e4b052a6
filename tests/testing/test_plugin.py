"""The fixtures in a run of pytest of its own, as users have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import os

pids = []

def test_first(mec):
    mec.push({"x": 2})
    assert mec.execute("x + engine_id").values() == [2, 3, 4]
    pids.extend(mec.apply(os.getpid))

def test_second(mec, fleet):
    assert mec.keys() == [[]] * 3
    assert mec.apply(os.getpid) == pids
    assert fleet.running
    mec.execute("import time; time.sleep(60)", block=False)
    mec.execute("import os; os._exit(1)", targets=1, block=False)

def test_third(mec):
    assert mec.get_ids() == [0, 1, 2]
    print("pids", *mec.apply(os.getpid))
"""


@pytest.mark.slow
def test_a_fleet_is_there_for_all_tests_clean_for_each_and_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfleet_engines = 3\n")
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]
    plugin = [] if _is_installed() else ["-p", "kernelfleet.testing.plugin"]
    done = subprocess.run(
        [*command, *plugin, str(tmp_path)], capture_output=True, text=True, timeout=100, check=False
    )
    assert "3 passed" in done.stdout, done.stdout
    line = next(line for line in done.stdout.splitlines() if "pids" in line)
    for pid in line.partition("pids ")[2].split():
        assert not Path(f"/proc/{pid}").exists()


def _is_installed() -> bool:
    from importlib.metadata import entry_points

    return any(each.name == "kernelfleet" for each in entry_points(group="pytest11"))
