"""Which arrays arrive writable, and which show the pages of a file."""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernelfleet.wire.buffers.frames import from_frames, to_frames
from kernelfleet.wire.buffers.mapped_files import FileRange
from kernelfleet.wire.buffers.shared_memory import SHARED_BYTES, available
from kernelfleet.wire.objects.arrays import Maps
from kernelfleet.wire.objects.serialize import pack, pack_nested, unpack

pytestmark = pytest.mark.skipif(not available(), reason="no shared memory here")

ROWS, COLUMNS = 1500, 400
SIZE_BYTES = ROWS * COLUMNS * 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", np.arange(ROWS * COLUMNS, dtype="f8").reshape(ROWS, COLUMNS))
    return tmp_path / "x.npy"


@pytest.fixture(autouse=True)
def _descriptors_come_back() -> Iterator[None]:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


def load(path: Path, mode: str = "r") -> Any:
    return np.load(path, mmap_mode=mode)  # type: ignore[arg-type]


def sent(value: object, maps: Maps = Maps.SHARED, *, snapshot: bool = False) -> tuple[Any, int]:
    """The value as it arrives, and how many parts of files it has travelled as."""
    frames = pack(value, shared=True, maps=maps, snapshot=snapshot)
    files = sum(isinstance(frame, FileRange) for frame in frames)
    return unpack(from_frames(to_frames(frames, shared=True), with_files=True)), files


CUTS: dict[str, Any] = {
    "whole": lambda x: x,
    "rows": lambda x: x[200:1400],
    "columns": lambda x: x[:, 3:290],
    "steps": lambda x: x[::2, 1::2],
    "backwards": lambda x: x[::-1, ::-2],
    "transposed": lambda x: x.T,
    "plain": lambda x: np.asarray(x)[10:],
    "other type": lambda x: x.view("i4"),
    "fields": lambda x: x.view([("a", "f4"), ("b", "f4")]),
    "three dimensions": lambda x: x.reshape(50, 30, COLUMNS).transpose(2, 0, 1),
    "unaligned": lambda x: x.reshape(-1).view("u1")[3:-5].view("f8"),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("snapshot", [False, True])
def test_what_is_cut_from_a_read_only_memmap_shows_the_same_file(
    path: Path, cut: str, snapshot: bool
) -> None:
    array = CUTS[cut](load(path))
    back, files = sent(array, snapshot=snapshot)
    assert files == 1
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    assert (back.shape, back.strides) == (array.shape, array.strides)
    assert np.array_equal(back, array)
    assert not back.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        back.flags.writeable = True
    with path.open("r+b") as file:
        file.seek(128)
        file.write(np.full(ROWS * COLUMNS, -1.0).tobytes())
    assert np.array_equal(back, array)  # both have changed


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_what_can_be_written_to_arrives_as_a_copy_that_can(path: Path, mode: str) -> None:
    array = load(path, mode)
    array[0, 0] = 77
    back, files = sent(array)
    assert files == 0
    assert type(back) is np.ndarray
    assert back[0, 0] == 77
    back[0, 0] = array[1, 1] = 88
    assert (array[0, 0], back[1, 1]) == (77, COLUMNS + 1)


def test_a_read_only_view_of_memory_that_can_be_written_to_is_copied(path: Path) -> None:
    array = load(path, "c")
    array[0, 0] = 77
    array.flags.writeable = False
    back, files = sent(array)
    assert files == 0
    assert back[0, 0] == 77


@pytest.mark.parametrize("cut", [*CUTS, "small", "single"])
def test_where_files_are_not_shared_it_is_a_copy_and_read_only_all_the_same(
    path: Path, cut: str
) -> None:
    cuts = {**CUTS, "small": lambda x: x[5:9, ::4], "single": lambda x: x[2:3, 2:3]}
    array = cuts[cut](load(path))
    for maps in (Maps.READ_ONLY, Maps.SHARED) if cut in ("small", "single") else (Maps.READ_ONLY,):
        back, files = sent(array, maps)
        assert files == 0
        assert type(back) is np.ndarray
        assert not back.flags.writeable
        assert np.array_equal(back, array)
        assert back.flags.c_contiguous == array.flags.c_contiguous or not array.flags.forc


def test_what_comes_from_an_engine_is_the_receivers_own(path: Path) -> None:
    array = load(path)
    for each in (array, np.asarray(array), array[::2], array[:3]):
        back, files = sent(each, Maps.COPIED)
        assert files == 0
        assert type(back) is np.ndarray
        back[0, 0] = -1
        assert array[0, 0] == 0


def test_a_memmap_is_packed_without_a_copy_in_its_pickle(path: Path) -> None:
    for mode in ("r", "r+", "c"):
        pickled, memory = pack(load(path, mode))
        assert len(bytes(pickled)) < 1000  # type: ignore[arg-type]
        assert memoryview(memory).nbytes == SIZE_BYTES  # type: ignore[arg-type]


def test_nested_packs_share_files_too(path: Path) -> None:
    array = load(path)
    for snapshot in (False, True):
        inner = pack_nested({"x": array[10:]}, maps=Maps.SHARED, snapshot=snapshot)
        back, files = sent([inner, inner])
        assert files == 1
        first = unpack(back[0])["x"]
        assert np.array_equal(first, array[10:])
        assert not first.flags.writeable


def test_a_nested_snapshot_of_memory_that_is_no_file_is_a_copy() -> None:
    array: Any = np.arange(SHARED_BYTES, dtype="u1")
    reader = pickle.PickleBuffer(memoryview(array).toreadonly())
    inner = pack_nested(reader, maps=Maps.SHARED, snapshot=True)
    array[:] = 0
    assert sum(memoryview(unpack(inner))[:3]) == 3


def test_two_names_of_one_array_stay_one(path: Path) -> None:
    array = load(path)
    back, files = sent({"a": array, "b": array, "c": array[1:]})
    assert files == 2
    assert back["a"] is back["b"]
    assert np.shares_memory(back["a"], back["c"])  # one mapping for all of the message


def test_an_array_whose_file_is_gone_is_copied(path: Path) -> None:
    array = load(path)
    path.unlink()
    back, files = sent(array[::2])
    assert files == 0
    assert np.array_equal(back, array[::2])
    assert not back.flags.writeable


def test_read_only_arrays_that_are_no_file_arrive_writable() -> None:
    array = np.arange(SHARED_BYTES, dtype="u1")
    array.flags.writeable = False
    for each in (array, array[::2], np.broadcast_to(array, (4, SHARED_BYTES))):
        back, files = sent(each)
        assert files == 0
        back[0] = 1
        assert np.array_equal(back[1:], each[1:])


def test_rows_that_repeat_are_not_taken_for_more_than_they_are(path: Path) -> None:
    array = np.broadcast_to(load(path)[0], (2000, COLUMNS))
    back, files = sent(array)
    assert files == 0
    assert np.array_equal(back, array)


def test_a_memmap_of_a_class_of_ones_own_keeps_its_type(path: Path) -> None:
    class Mine(np.memmap):
        pass

    back, files = sent(load(path)[:5].view(Mine))
    assert files == 0
    assert type(back).__name__ == "Mine"


def test_tables_of_arrow_that_are_mapped_show_the_same_file(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"a": np.arange(400_000.0), "b": [str(i) for i in range(400_000)]})
    name = str(tmp_path / "table.arrow")
    with arrow.OSFile(name, "wb") as file, arrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=50_000)
    mapped = arrow.ipc.open_file(arrow.memory_map(name)).read_all()
    before = arrow.total_allocated_bytes()
    back, files = sent(mapped)
    assert files >= 20  # the values, offsets and texts of eight batches
    assert back.equals(table)
    assert arrow.total_allocated_bytes() == before
    in_memory, files = sent(table)
    assert files == 0
    assert in_memory.equals(table)


def test_data_frames_over_a_memmap_show_the_same_file(path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(load(path), copy=False)
    back, files = sent(frame)
    assert files == 1
    assert back.equals(frame)
