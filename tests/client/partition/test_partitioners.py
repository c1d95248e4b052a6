"""partitioners.py: objects of other libraries are cut and joined as themselves."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from itertools import chain, islice
from typing import Any

import numpy as np
import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.client.partition import partitioners
from kernelfleet.client.partition.blocks import join, split
from kernelfleet.client.partition.partitioners import find, register_partitioner

N = 10

TABLES: dict[str, Callable[[Any], Any]] = {
    "pandas": lambda pandas: pandas.DataFrame({"x": range(N), "y": "a"}),
    "polars": lambda polars: polars.DataFrame({"x": range(N), "y": ["a"] * N}),
    "pyarrow": lambda pyarrow: pyarrow.table({"x": range(N), "y": ["a"] * N}),
    "xarray": lambda xarray: xarray.Dataset({"x": (("t", "s"), np.ones((N, 3)))}),
    "torch": lambda torch: torch.arange(3 * N).reshape(N, 3),
    "scipy.sparse": lambda sparse: sparse.csr_matrix(np.eye(N)),
}


def same(one: Any, other: Any) -> bool:
    if hasattr(one, "equals"):
        return bool(one.equals(other))
    difference: Any = one - other
    return bool(abs(difference).sum() == 0)


@pytest.mark.parametrize("package", TABLES)
@pytest.mark.parametrize("parts", [1, 3, 4])
def test_a_table_is_cut_into_tables_and_joined_to_the_same(package: str, parts: int) -> None:
    whole = TABLES[package](pytest.importorskip(package))
    cut = split(whole, parts)
    assert all(type(each) is type(whole) for each in cut)
    lengths = [find(each).length(each, 0) for each in cut]  # type: ignore[union-attr]
    assert sum(lengths) == N
    assert lengths[0] == math.ceil(N / parts)
    assert same(join(cut), whole)


@pytest.mark.parametrize("package", ["pandas", "torch", "scipy.sparse", "xarray"])
def test_what_has_columns_is_cut_along_them(package: str) -> None:
    whole = TABLES[package](pytest.importorskip(package))
    cut = split(whole, 2, axis=1)
    assert len(cut) == 2
    assert same(join(cut, axis=1), whole)


def test_arrays_are_cut_along_any_axis() -> None:
    whole = np.arange(24).reshape(2, 3, 4)
    for axis in (0, 1, 2):
        cut = split(whole, 2, axis=axis)
        assert np.array_equal(join(cut, axis=axis), whole)
    assert split(whole, 3, axis=1)[0].shape == (2, 1, 4)


def test_xarray_knows_its_axes_by_name() -> None:
    whole = TABLES["xarray"](pytest.importorskip("xarray"))
    assert same(join(split(whole, 3, axis="s"), axis="s"), whole)


@pytest.mark.parametrize(
    ("value", "axis", "text"),
    [
        ([1, 2], 1, "a list has no axis 1"),
        (np.zeros(3), 1, "an array of 1 axes has no axis 1"),
        (np.zeros(3), -1, "has no axis -1"),
        (np.zeros(3), "x", "has no axis 'x'"),
    ],
)
def test_an_axis_that_is_not_there_is_an_error(value: Any, axis: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        split(value, 2, axis=axis)


def test_tables_of_rows_have_one_axis() -> None:
    table = TABLES["polars"](pytest.importorskip("polars"))
    with pytest.raises(TypeError, match="by rows"):
        split(table, 2, axis=1)
    with pytest.raises(TypeError, match="is a list, which has no axis 1"):
        join([[1], [2]], axis=1)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitioners, "_registered", {})


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("kind", [deque, "collections.deque"])
def test_a_type_of_the_users_is_registered_by_itself_or_by_name(kind: Any) -> None:
    register_partitioner(
        kind,
        part=lambda value, start, stop: deque(islice(value, start, stop)),
        join=lambda parts: deque(chain(*parts)),
    )

    class Mine(deque[int]):
        pass

    cut = split(Mine(range(5)), 2)
    assert cut == [deque([0, 1, 2]), deque([3, 4])]
    assert join(cut) == deque(range(5))
    with pytest.raises(TypeError, match="cut along axis 0 only"):
        split(deque([1]), 2, axis=1)


def test_a_partitioner_is_for_a_type() -> None:
    with pytest.raises(TypeError, match="for a type or its name, not for 3"):
        register_partitioner(3, part=lambda *_: None, join=list)  # type: ignore[arg-type]


def test_tables_go_to_engines_and_come_back(mec: MultiEngineClient) -> None:
    polars = pytest.importorskip("polars")
    table = TABLES["polars"](polars)
    mec.scatter("table", table)
    assert mec.execute("len(table)").values() == [3, 3, 2, 2]
    assert mec.gather("table").equals(table)
    array = np.arange(12).reshape(2, 6)
    mec.scatter("a", array, axis=1)
    assert mec.execute("a.shape").values() == [(2, 2), (2, 2), (2, 1), (2, 1)]
    assert np.array_equal(mec.gather("a", axis=1), array)
    pending = mec.gather("a", block=False, axis=1)
    assert np.array_equal(pending.result(10), array)


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"kind": 3}, TypeError, "for a type or its name, not for 3"),
        ({"kind": object}, TypeError, "not for <class 'object'>"),
        ({"kind": ""}, ValueError, "'polars.DataFrame', not ''"),
        ({"kind": "DataFrame"}, ValueError, "not 'DataFrame'"),
        ({"kind": "geopandas.frames.Frame"}, ValueError, "not 'geopandas.frames.Frame'"),
        ({"part": 3}, TypeError, r"part is a function part\(value, start, stop\), not 3"),
        ({"part": lambda value: value}, TypeError, "part is called as .*too many positional"),
        ({"join": None}, TypeError, r"join is a function join\(parts\), not None"),
        ({"join": lambda: 1}, TypeError, "join is called as .*too many positional"),
        ({"length": lambda a, b: 1}, TypeError, "length is called as .*missing .*'b'"),
    ],
)
def test_what_is_no_partitioner_is_refused_at_once(
    changed: dict[str, Any], error: type[Exception], text: str
) -> None:
    before = dict(partitioners._registered)
    good: dict[str, Any] = {
        "kind": deque,
        "part": lambda d, i, j: d,
        "join": lambda parts: parts[0],
    }
    with pytest.raises(error, match=text):
        register_partitioner(**{**good, **changed})
    assert partitioners._registered == before


def test_functions_that_do_not_tell_their_arguments_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partitioners, "_registered", {})
    register_partitioner("package.Kind", part=min, join=max)
    assert list(partitioners._registered) == ["package.Kind"]
