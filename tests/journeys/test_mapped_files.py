"""Data that are mapped from a file: engines of this machine map the file, and nothing is copied."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from kernelfleet import MultiEngineClient, errors
from kernelfleet.wire.buffers.shared_memory import available
from tests.fleets import SharedFleets, eventually

pytestmark = pytest.mark.skipif(not available(), reason="no shared memory here")

MB = 1024 * 1024

StartFleet = Callable[..., MultiEngineClient]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", np.arange(2 * MB, dtype="f8"))
    return tmp_path / "x.npy"


def load(path: Path) -> Any:
    return np.load(path, mmap_mode="r")


def shown(name: str) -> list[str]:
    """How this process has mapped a file."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line.split()[1] for line in lines if name in line]


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_push_scatter_apply_map_and_tasks_have_engines_map_the_file(
    mec: MultiEngineClient, path: Path
) -> None:
    x, name, n = load(path), str(path), len(mec.get_ids())
    mec.push({"x": x, "shown": shown, "load": load})
    assert (
        mec.execute(f"[shown({name!r}), x.flags.writeable, float(x[-1])]").values()
        == [[["r--s"], False, 2.0 * MB - 1]] * n
    )
    with pytest.raises(errors.CompositeError) as caught:
        mec.execute("x[0] = 1", targets=0)
    assert "read-only" in str(caught.value.exceptions[0])
    mec.execute("del x")
    mec.scatter("x", x)
    assert mec.execute(f"[shown({name!r}), float(x[0])]").values() == [
        [["r--s"], float(part[0])] for part in np.array_split(x, n)
    ]
    mec.execute("del x")
    look = lambda array: (shown(name), float(array[-1]))  # noqa: E731
    assert mec.apply(look, x[::-1]) == [(["r--s"], 0.0)] * n
    halves = [x[:MB], x[MB:]]
    assert [end for _, end in mec.map(look, halves)] == [MB - 1.0, 2 * MB - 1.0]
    with mec.executor() as executor:
        assert executor.submit(look, x).result()[1] == 2 * MB - 1
    (back,) = mec.apply(load, path, targets=0)
    back[0] = 5  # what is pulled is one's own
    assert x[0] == 0


def test_what_has_mapped_a_file_lets_go_of_it_with_the_array(
    mec: MultiEngineClient, path: Path
) -> None:
    mec.push({"shown": shown, "descriptors": descriptors, "gc": gc, "warm": load(path)})
    mec.execute("import os, numpy; del warm; _ = gc.collect()")
    own = psutil.Process()
    (pid,) = mec.execute("os.getpid()", targets=0).values()
    before = [descriptors(own.pid), descriptors(pid)]
    for _ in range(20):
        mec.push({"x": load(path), "y": load(path)[5:]})
    assert descriptors(pid) < before[1] + 5
    mec.execute("del x, y; _ = gc.collect()")

    def all_is_as_before() -> bool:
        gc.collect()
        now = [descriptors(own.pid), descriptors(pid)]
        return now[0] <= before[0] and now[1] <= before[1]

    eventually(all_is_as_before)
    assert mec.execute(f"shown({str(path)!r})").values() == [[]] * len(mec.get_ids())
    assert shown(str(path)) == []


def test_a_file_that_was_replaced_or_deleted_stays_what_it_was_and_one_that_changes_is_seen_to(
    mec: MultiEngineClient, path: Path
) -> None:
    mec.push({"x": load(path)}, targets=0)
    with path.open("r+b") as file:
        file.seek(128)
        file.write(np.full(1, -7.0).tobytes())
    assert mec.execute("float(x[0])", targets=0).values() == [-7.0]
    other = path.with_name("other.npy")
    np.save(other, np.zeros(2 * MB))
    other.rename(path)
    assert mec.execute("float(x[0])", targets=0).values() == [-7.0]
    path.unlink()
    assert mec.execute("float(x[-1])", targets=0).values() == [2.0 * MB - 1]


def test_a_file_that_is_cut_off_while_a_push_waits_is_told_and_the_engine_lives(
    start_fleet: StartFleet, path: Path, gate: Any
) -> None:
    mec = start_fleet(1)
    held = mec.execute(gate.code, block=False)
    pending = mec.push({"x": load(path)}, block=False)
    os.truncate(path, 1000)
    gate.entered()
    gate.open()
    held.result()
    with pytest.raises(errors.CompositeError) as caught:
        pending.result()
    assert f"{path} has become shorter" in str(caught.value.exceptions[0])
    assert mec.execute("1 + 1").values() == [2]


def test_an_engine_that_looks_at_what_was_cut_off_dies_and_is_told_why(
    start_fleet: StartFleet, path: Path
) -> None:
    mec = start_fleet(2)
    mec.push({"x": load(path)})
    os.truncate(path, 1000)
    with pytest.raises(errors.CompositeError) as caught:
        mec.execute("x.sum()", targets=1)
    (error,) = caught.value.exceptions
    assert isinstance(error, errors.EngineDied)
    assert "SIGBUS" in str(error)
    assert "a file that it had mapped has become shorter" in str(error)
    assert mec.execute("1 + 1", targets=0).values() == [2]


def test_where_there_is_no_shared_memory_the_data_travel_and_are_read_only_all_the_same(
    start_fleet: StartFleet, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERNELFLEET_SHARED_MEMORY", "0")
    mec = start_fleet(1)
    mec.push({"x": load(path), "shown": shown})
    assert mec.execute(f"[shown({str(path)!r}), x.flags.writeable, float(x[-1])]").values() == [
        [[], False, 2.0 * MB - 1]
    ]


@pytest.mark.slow
def test_engines_of_a_cluster_have_copies_that_are_read_only_all_the_same(
    fleets: SharedFleets, path: Path
) -> None:
    with MultiEngineClient(fleets.on_cluster) as mec:
        n = len(mec.get_ids())
        mec.push({"x": load(path)[::-1], "shown": shown})
        assert mec.execute(f"[shown({str(path)!r}), x.flags.writeable, float(x[0])]").values() == (
            [[[], False, 2.0 * MB - 1]] * n
        )
        mec.execute("del x, shown")


@pytest.mark.slow
def test_two_gigabytes_on_four_engines_are_in_memory_once(
    start_fleet: StartFleet, tmp_path: Path
) -> None:
    name = tmp_path / "x.dat"
    with name.open("wb") as file:
        file.truncate(2048 * MB)
    x = np.memmap(name, mode="r", dtype="f8")
    mec = start_fleet(4)
    pids = [os.getpid(), *(each.pid for each in mec.engines())]

    def pss() -> int:
        return sum(psutil.Process(pid).memory_full_info().pss for pid in pids)

    mec.execute("import numpy")
    before = pss()
    mec.push({"x": x})
    assert pss() - before < 20 * MB  # nobody has looked at it
    quarter = 512 * MB
    part = f"float(x[:{quarter // 8}].sum())"
    assert mec.execute(part).values() == [0.0] * 4
    assert pss() - before < 1.2 * quarter
