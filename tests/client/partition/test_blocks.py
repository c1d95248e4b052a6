"""partition.py: the arithmetic of scatter and gather."""

import sys
from array import array
from collections import deque
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.client.partition.blocks import edges, join, split


@pytest.mark.parametrize(
    ("length", "parts", "sizes"),
    [(10, 4, [3, 3, 2, 2]), (2, 4, [1, 1, 0, 0]), (0, 3, [0, 0, 0]), (8, 4, [2] * 4), (5, 0, [])],
)
def test_extra_items_go_to_the_first_engines(length: int, parts: int, sizes: list[int]) -> None:
    assert [stop - start for start, stop in edges(length, parts)] == sizes


@given(st.lists(st.integers()), st.integers(1, 20))
def test_joining_what_was_split_gives_the_items_back(items: list[int], parts: int) -> None:
    blocks = split(items, parts)
    assert len(blocks) == parts
    assert join(blocks) == items
    sizes = [len(block) for block in blocks]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.integers(), max_size=10), st.integers(1, 5))
def test_joining_flattened_blocks_of_numbers_loses_none(items: list[int], parts: int) -> None:
    joined = join(split(items, parts, flatten=True))
    assert [each for each in joined if each != []] == items


@pytest.mark.parametrize(
    ("seq", "blocks"),
    [
        ([1, 2, 3], [[1, 2], [3]]),
        ((1, 2, 3), [(1, 2), (3,)]),
        ("abc", ["ab", "c"]),
        (b"abc", [b"ab", b"c"]),
        (bytearray(b"abc"), [bytearray(b"ab"), bytearray(b"c")]),
        (array("d", [1, 2, 3]), [array("d", [1, 2]), array("d", [3])]),
        (range(3), [[0, 1], [2]]),
        (deque([1, 2, 3]), [[1, 2], [3]]),
        (memoryview(b"abc"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_slicing_keeps_the_type(seq: Any, blocks: list[Any] | None) -> None:
    got = split(seq, 2)
    if blocks is None:  # a view cannot travel, its items can
        assert [list(each) for each in got] == [[97, 98], [99]]
        return
    assert got == blocks
    assert [type(each) for each in got] == [type(each) for each in blocks]


def test_a_named_tuple_gives_tuples() -> None:
    class Point(NamedTuple):
        x: int
        y: int

    assert split(Point(1, 2), 2) == [(1,), (2,)]


def test_a_sequence_class_without_slices_gives_lists() -> None:
    class Squares(Sequence[int]):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: Any) -> Any:
            if not 0 <= index < 3:
                raise IndexError
            return index**2

    assert split(Squares(), 2) == [[0, 1], [4]]


def test_what_is_like_an_array_is_sliced() -> None:
    class Tensor:
        def __init__(self, items: list[int]) -> None:
            self.items = items

        def __len__(self) -> int:
            return len(self.items)

        def __getitem__(self, index: slice) -> "Tensor":
            return Tensor(self.items[index])

    assert [each.items for each in split(Tensor([1, 2, 3]), 2)] == [[1, 2], [3]]


@pytest.mark.parametrize("dtype", ["int8", "float64", "complex128", "U3"])
def test_arrays_are_cut_along_the_first_axis_and_keep_their_dtype(dtype: str) -> None:
    values = np.arange(10).reshape(5, 2).astype(dtype)
    blocks = split(values, 3)
    assert [each.shape for each in blocks] == [(2, 2), (2, 2), (1, 2)]
    assert np.shares_memory(blocks[0], values)
    joined = join(blocks)
    assert joined.dtype == dtype
    assert (joined == values).all()


def test_empty_array_blocks_do_not_change_the_dtype() -> None:
    joined = join(split(np.arange(2, dtype="int16"), 4))
    assert joined.dtype == "int16"
    assert joined.tolist() == [0, 1]


def test_masked_arrays_keep_their_mask() -> None:
    values = np.ma.masked_greater(np.arange(6), 3)
    assert join(split(values, 2)).mask.tolist() == [False] * 4 + [True] * 2


def test_flatten_gives_a_block_of_one_item_bare() -> None:
    assert split([1, 2, 3], 2, flatten=True) == [[1, 2], 3]
    assert split([1, 2], 4, flatten=True) == [1, 2, [], []]
    assert split("ab", 2, flatten=True) == ["a", "b"]
    assert split(np.eye(2), 2, flatten=True)[0].tolist() == [1.0, 0.0]


def test_flattened_blocks_join_as_items() -> None:
    assert join(split(range(5), 4, flatten=True)) == [0, 1, 2, 3, 4]
    assert join(split(np.arange(5), 4, flatten=True)).tolist() == [0, 1, 2, 3, 4]
    rows = np.arange(10).reshape(5, 2)
    assert (join(split(rows, 4, flatten=True)) == rows).all()
    assert join(split([1, 2], 2, flatten=True)) == [1, 2]


@pytest.mark.parametrize(
    ("seq", "advice"),
    [
        ({1, 2}, "sorted"),
        (frozenset({1}), "sorted"),
        ({"a": 1}, "sorted"),
        ({"a": 1}.keys(), "sorted"),
        ({"a": 1}.values(), "list"),
        ((i for i in range(3)), "list"),
        (iter([1]), "list"),
        (5, "list"),
        (None, "list"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_sequence_is_a_type_error_with_advice(seq: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=rf"{type(seq).__name__}.*{advice}\(\.\.\.\)"):
        split(seq, 2)


def test_an_array_without_dimensions_cannot_be_scattered() -> None:
    with pytest.raises(TypeError, match="without dimensions"):
        split(np.array(5), 2)


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        ([], []),
        ([[1], [2, 3]], [1, 2, 3]),
        ([(1,), (2, 3)], [1, 2, 3]),
        ([(1,), [2]], [1, 2]),
        (["ab", "c"], ["ab", "c"]),
        ([1.5, 2.5], [1.5, 2.5]),
        ([None, [1]], [None, [1]]),
        ([{1: 2}, {3: 4}], [{1: 2}, {3: 4}]),
        ([np.float64(1), np.float64(2)], [1.0, 2.0]),
        ([np.array(1), np.array(2)], [1, 2]),
    ],
    ids=repr,
)
def test_parts_join_by_the_type_of_the_first(parts: list[Any], joined: list[Any]) -> None:
    result = join(parts)
    assert type(result) is list
    assert result == joined


def test_nothing_here_imports_numpy_or_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numpy", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)  # an import would fail
    assert join(split([1, 2, 3], 2)) == [1, 2, 3]


def test_data_frames_and_series_are_cut_by_rows() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2, 3]}, index=[10, 20, 30])
    blocks = split(frame, 2)
    assert [len(each) for each in blocks] == [2, 1]
    assert join(blocks).equals(frame)
    assert join(split(frame["a"], 2)).equals(frame["a"])
    assert split(frame, 3, flatten=True)[2]["a"] == 3


class Frame:
    """What of a DataFrame matters here: rows by ``iloc`` alone, for ``[]`` picks columns."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: object) -> Any:
        raise KeyError(column)

    @property
    def iloc(self) -> Any:
        frame = self

        class Rows:
            def __getitem__(self, index: Any) -> Any:
                return Frame(frame.rows[index]) if isinstance(index, slice) else frame.rows[index]

        return Rows()


def concat(frames: list[Frame]) -> Frame:
    return Frame([row for frame in frames for row in frame.rows])


def test_data_frames_are_cut_by_rows_also_where_pandas_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pandas: Any = ModuleType("pandas")
    pandas.DataFrame, pandas.concat = Frame, concat
    pandas.Series = type("Series", (Frame,), {})
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    blocks = split(Frame([1, 2, 3]), 2)
    assert [block.rows for block in blocks] == [[1, 2], [3]]
    assert split(Frame([1, 2, 3]), 2, flatten=True)[1] == 3
    assert join(blocks).rows == [1, 2, 3]


def test_pandas_may_be_imported_by_another_thread_just_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", ModuleType("pandas"))  # it has no classes yet
    assert join(split([1, 2, 3], 2)) == [1, 2, 3]


def test_masked_blocks_keep_their_mask_wherever_they_stand() -> None:
    plain, masked = np.arange(2), np.ma.masked_equal([2, 3], 3)
    assert join([plain, masked]).mask.tolist() == [False, False, False, True]
    assert type(join([plain, plain])) is np.ndarray


def test_what_has_items_and_no_length_cannot_be_scattered() -> None:
    class Endless:
        def __getitem__(self, index: int) -> int:
            return index

    with pytest.raises(TypeError, match="cannot scatter a Endless: it has no order or no length"):
        split(Endless(), 2)
