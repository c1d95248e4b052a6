"""What large data costs in memory: once for all engines, and nothing when it is gone."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from kernelfleet import MultiEngineClient
from tests.fleets import eventually
from tests.journeys.soak_measure import look_inside

MB = 1024 * 1024
SIZE_BYTES = 128 * MB

pytestmark = pytest.mark.slow

StartFleet = Callable[..., MultiEngineClient]


def pss(mec: MultiEngineClient) -> int:
    """The physical memory of the engines and this process, what they share counted once."""
    pids = [each.pid for each in mec.engines()]
    processes = [psutil.Process(), *map(psutil.Process, pids)]
    return sum(process.memory_full_info().pss for process in processes)


def peak_rss(reset: bool = False) -> int:
    """The largest memory of this process since the peak was last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_an_array_pushed_to_four_engines_that_read_it_is_there_once_more(
    start_fleet: StartFleet,
) -> None:
    mec = start_fleet(4)
    array = np.ones(SIZE_BYTES // 8)
    mec.execute("import numpy")
    before = pss(mec)
    mec.push({"array": array})
    assert mec.execute("float(array.sum())").values() == [float(array.sum())] * 4
    grown = pss(mec) - before
    assert grown < 1.15 * SIZE_BYTES, f"{grown / MB:.0f} MB for {SIZE_BYTES / MB:.0f} MB"
    mec.execute("del array; import gc; gc.collect()")

    def is_back() -> bool:
        gc.collect()
        return pss(mec) - before < 0.1 * SIZE_BYTES

    eventually(is_back)


def test_without_shared_memory_nothing_is_copied_in_user_space_on_the_way(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERNELFLEET_SHARED_MEMORY", "0")
    mec = start_fleet(1)
    assert not mec._connection.shares_memory
    array = np.ones(SIZE_BYTES // 8)
    mec.push({"warm": np.ones(MB)})
    look_inside()  # collects and trims: a copy in what the C library had kept would not be seen
    before = peak_rss(reset=True)
    mec.push({"array": array})
    pushed = peak_rss() - before
    assert pushed < 0.25 * SIZE_BYTES, f"{pushed / MB:.0f} MB while pushing"
    (back,) = mec.pull("array")
    pulled = peak_rss() - before
    assert pulled < 1.25 * SIZE_BYTES, f"{pulled / MB:.0f} MB for an array of {SIZE_BYTES / MB:.0f}"
    assert np.array_equal(back, array)
