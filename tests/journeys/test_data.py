"""Much and odd data there and back: equal afterwards, and memory as it was."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.wire.buffers.shared_memory import available
from tests.fleets import eventually


def deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested, levels]
    return nested


ODD = {
    "zero length": np.zeros((0, 3)),
    "no dimensions": np.array(3.5),
    "not contiguous": np.arange(2_000_000.0).reshape(1000, 2000)[::2, ::3],
    "fortran": np.asfortranarray(np.arange(600_000.0).reshape(600, 1000)),
    "read-only": np.broadcast_to(np.arange(1000), (300, 1000)),
    "negative strides": np.arange(500_000)[::-1],
    "strings": np.array(["a", "bcd"] * 1000),
    "records": np.zeros(50_000, dtype=[("a", "f8"), ("b", "i4"), ("c", "S3")]),
    "objects": np.array([None, {1: 2}, "x"], dtype=object),
    "dates": np.arange("2020-01", "2030-01", dtype="M8[D]"),
    "half": np.linspace(0, 1, 70_000, dtype="f2"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_arrays_come_back_equal_and_writable(mec: MultiEngineClient, name: str) -> None:
    array = ODD[name]
    mec.push({"x": array}, targets=[0, 1])
    for back in mec.pull("x", targets=[0, 1]):
        assert back.dtype == array.dtype
        assert np.array_equal(back, array)
        assert back.flags.writeable
    if array.ndim:
        mec.scatter("x", array)
        assert np.array_equal(mec.gather("x"), array)


def shared_buffers() -> set[str]:
    """The inodes of the shared buffers that this process has mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {line.split()[4] for line in lines if "memfd:kernelfleet" in line}


@pytest.mark.skipif(not available(), reason="no shared memory here")
def test_what_comes_from_one_engine_and_goes_to_all_is_the_same_memory_until_it_is_written_to(
    mec: MultiEngineClient,
) -> None:
    gc.collect()
    before = shared_buffers()
    (w,) = mec.apply(lambda: __import__("numpy").arange(300_000.0), targets=0)
    (made,) = shared_buffers() - before
    mec.push({"w": w})
    assert all(made in each for each in mec.apply(shared_buffers))
    doubled = mec.map(lambda each: (made in shared_buffers(), each + each), [w, w])
    assert [there for there, _ in doubled] == [True, True]
    w[5] = -1
    mec.push({"w": w})
    assert mec.execute("float(w[5])").values() == [-1.0] * 4
    assert not any(made in each for each in mec.apply(shared_buffers))


@pytest.mark.parametrize("transport", ["unix"])
def test_ten_thousand_names_in_one_push(mec: MultiEngineClient) -> None:
    values = {f"name_{i}": i for i in range(10_000)}
    mec.push(values, timeout=60)
    names = tuple(values)
    assert mec.pull(names, targets=3, timeout=60) == [list(range(10_000))]
    assert len(mec.keys(targets=0)[0]) == 10_000


@pytest.mark.parametrize("transport", ["unix"])
def test_deep_nesting_and_shared_references(mec: MultiEngineClient) -> None:
    nested = deep(200)
    shared = [1]
    mec.push({"x": nested, "a": [shared, shared]})
    assert mec.pull("x", targets=0) == [nested]
    (pair,) = mec.pull("a", targets=0)
    assert pair[0] is pair[1]


def test_map_and_executor_carry_arrays(mec: MultiEngineClient) -> None:
    arrays = [np.full(300_000, i, dtype="f8") for i in range(6)]
    back = mec.map(lambda x: x * 2, arrays)
    assert all(np.array_equal(b, 2 * a) for a, b in zip(arrays, back, strict=True))
    back[0][:] = 1
    with mec.executor() as pool:
        assert [f.result(30).sum() for f in [pool.submit(np.sqrt, a) for a in arrays[:2]]] == [
            0.0,
            300_000.0,
        ]


def test_gathering_joins_what_each_engine_made(mec: MultiEngineClient) -> None:
    mec.execute("import numpy\nx = numpy.full((300_000 + engine_id, 4), engine_id, 'f8')")
    whole = mec.gather("x")
    assert whole.shape == (1_200_006, 4)
    assert [whole[i * 300_000 + 9, 0] for i in range(4)] == [0, 1, 2, 3]
    whole[:] = 0  # ours to write to
    mec.execute("x = numpy.full(10, engine_id, 'i4' if engine_id else 'f8')")
    assert mec.gather("x").dtype == np.dtype("f8")


def test_pandas_objects_are_scattered_by_rows(mec: MultiEngineClient) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": range(10), "b": list("abcdefghij")}, index=range(100, 110))
    mec.scatter("df", frame)
    mec.execute("df['a'] *= 2")
    back = mec.gather("df")
    pd.testing.assert_frame_equal(back, frame.assign(a=frame["a"] * 2))
    mec.scatter("s", frame["a"])
    pd.testing.assert_series_equal(mec.gather("s"), frame["a"])


def shared_bytes() -> int:
    """What this process and its children hold in memfds."""
    seen = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        folder = Path(f"/proc/{process.pid}/fd")
        try:
            for fd in folder.iterdir():
                if "memfd:kernelfleet" in os.readlink(fd):
                    info = fd.stat()
                    seen[info.st_ino] = info.st_size
        except OSError:
            continue
    return sum(seen.values())


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["embedded", "unix"])
def test_a_gigabyte_in_one_push_comes_and_goes(mec: MultiEngineClient) -> None:
    if psutil.virtual_memory().available < 4 * 1024**3:
        pytest.skip("not enough memory")
    gc.collect()
    before = shared_bytes()
    array = np.zeros(128 * 1024 * 1024)
    array[-1] = 7
    mec.push({"big": array}, timeout=60)
    assert mec.execute("big[-1], big.nbytes").values() == [(7.0, 1024**3)] * 4
    mec.execute("del big")
    mec.reset(timeout=30)
    eventually(lambda: shared_bytes() <= before)


def mapped_blocks() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:kernelfleet")


@pytest.mark.parametrize("transport", ["embedded", "unix"])
def test_what_engines_send_back_comes_in_shared_memory_too(mec: MultiEngineClient) -> None:
    gc.collect()
    before = mapped_blocks()
    mec.execute("import numpy as np; big = np.ones(250_000)")
    arrays = mec.pull("big")
    assert [float(array.sum()) for array in arrays] == [250_000.0] * 4
    assert mapped_blocks() == before + 4
