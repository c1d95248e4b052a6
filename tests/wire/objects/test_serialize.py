"""Objects as frames: they come back equal, writable, and large arrays are not copied."""

from __future__ import annotations

import gc
import io
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.errors import SerializationError
from kernelfleet.wire.objects import arrays
from kernelfleet.wire.objects.serialize import (
    OUT_OF_BAND_BYTES,
    pack,
    pack_namespace,
    pack_nested,
    total_bytes,
    unpack,
)

LARGE = OUT_OF_BAND_BYTES // 8 + 1  # float64s that make one buffer of their own

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.text() | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text(), inner)
    | st.sets(st.integers()),
    max_leaves=20,
)  # fmt: skip


@given(values)
def test_plain_values_come_back_equal(value: object) -> None:
    assert unpack(pack(value)) == value


@pytest.mark.parametrize("kind", [io.BytesIO, io.StringIO])
def test_buffers_in_memory_come_back_as_what_they_are(kind: Any) -> None:
    buffer = kind(b"four" if kind is io.BytesIO else "four")
    frames = pack(buffer)
    assert isinstance(frames[0], bytes)
    assert b"make_class" not in frames[0]  # its class goes as a name
    back = unpack(frames)
    assert type(back) is kind
    assert back.getvalue() == buffer.getvalue()


def memory(frame: object) -> memoryview:
    assert isinstance(frame, memoryview)
    return frame


def received(frames: list[Any]) -> list[Any]:
    """The frames as pyzmq hands them over."""
    return [zmq.Frame(bytes(frame)) for frame in frames]


@pytest.mark.parametrize(
    "array",
    [
        np.empty(0),
        np.empty((0, 5)),
        np.empty((LARGE, 0), dtype="f4"),
        np.array(3.5),
        np.arange(10),
        np.arange(LARGE, dtype="f8"),
        np.arange(2 * LARGE, dtype="f8")[::2],
        np.arange(LARGE * 4, dtype="f8").reshape(4, LARGE).T,
        np.arange(LARGE * 4, dtype="f8").reshape(4, LARGE)[:, ::-1],
        np.asfortranarray(np.arange(LARGE * 2, dtype="f8").reshape(2, LARGE)),
        np.broadcast_to(np.arange(3.0), (1000, 3)),
        np.arange(LARGE, dtype=">f8"),
        np.zeros(LARGE, dtype=[("a", "i4"), ("b", "f8")]),
        np.array(["text", "", "ü"] * 100),
        np.array([{"an": "object"}, None], dtype=object),
        np.zeros(LARGE * 8, dtype=bool),
        np.array(["2024-01-01"] * LARGE, dtype="M8[D]"),
    ],
    ids=lambda array: f"{array.dtype}-{'x'.join(map(str, array.shape))}",
)
def test_arrays_come_back_equal_and_writable(array: np.ndarray[Any, Any]) -> None:
    for frames in (pack(array), received(pack(array))):
        back = unpack(frames)
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert np.array_equal(back, array)
        assert back.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.arange(LARGE, dtype="f8"),
        np.arange(10),
        np.empty((0, 5)),
        np.asfortranarray(np.arange(LARGE * 2, dtype="f8").reshape(2, LARGE)),
        np.arange(2 * LARGE, dtype="f8")[::2],
        np.array(["2024-01-01"] * LARGE, dtype="M8[D]"),
        np.zeros(LARGE, dtype=[("a", "i4"), ("b", "f8")]),
        np.array(5),
        np.array([[1, None]], dtype=object),
    ],
    ids=lambda array: f"{array.dtype}-{'x'.join(map(str, array.shape))}",
)
def test_a_read_only_array_arrives_writable_and_the_original_is_untouched(
    array: np.ndarray[Any, Any],
) -> None:
    array = array.view()
    array.flags.writeable = False
    before = array.copy()
    first, again = unpack(received(pack([array, array])))
    assert first is again
    assert first.flags.writeable
    assert np.array_equal(first, array)
    assert first.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc
    first[...] = np.zeros(1, array.dtype)[0]
    assert np.array_equal(before, array)


def test_a_large_read_only_array_is_sent_without_a_copy() -> None:
    array = np.arange(LARGE, dtype="f8")
    array.flags.writeable = False
    assert np.shares_memory(np.frombuffer(memory(pack(array)[1]), dtype="f8"), array)
    assert not array.flags.writeable


def test_a_large_buffer_is_a_view_of_the_callers_memory() -> None:
    array = np.arange(LARGE, dtype="f8")
    frames = pack(array)
    assert len(frames) == 2
    assert np.shares_memory(np.frombuffer(memory(frames[1]), dtype="f8"), array)


def test_a_snapshot_keeps_what_the_array_held() -> None:
    array = np.zeros(LARGE)
    frames = pack(array, snapshot=True)
    array[:] = 1
    assert unpack(frames).sum() == 0


def test_ten_thousand_tiny_arrays_are_one_frame() -> None:
    arrays = [np.full(3, i) for i in range(10_000)]
    frames = pack(arrays)
    assert len(frames) == 1
    assert unpack(frames)[9_999].tolist() == [9_999] * 3


def test_an_array_that_is_shared_stays_shared() -> None:
    array = np.arange(LARGE, dtype="f8")
    first, second = unpack(pack([array, array]))
    assert first is second


def test_several_large_arrays_are_a_frame_each_and_writing_one_leaves_the_others() -> None:
    frames = received(pack([np.zeros(LARGE), np.zeros(LARGE)]))
    assert len(frames) == 3
    first, second = unpack(frames)
    first[:] = 1
    assert second.sum() == 0


def test_functions_of_this_file_and_lambdas_travel() -> None:
    offset = 5
    assert unpack(pack(lambda x: x + offset))(1) == 6


def test_what_cannot_be_pickled_says_why() -> None:
    with pytest.raises(SerializationError, match=r"'lock' object: TypeError") as caught:
        pack(threading.Lock())
    assert caught.value.name is None
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_namespace_names_the_variable_that_cannot_be_pickled() -> None:
    with pytest.raises(SerializationError, match="'bad'") as caught:
        pack_namespace({"good": 1, "bad": [threading.Lock()], "other": 2})
    assert caught.value.name == "bad"
    cause = caught.value.__cause__
    assert isinstance(cause, TypeError)
    assert caught.value.__context__ is None  # the attempts before are not shown as errors
    assert cause.__context__ is None


def test_variables_that_share_an_object_share_it_on_the_other_side() -> None:
    shared = [1]
    back = unpack(pack_namespace({"a": shared, "b": shared}))
    assert back["a"] is back["b"]


def test_an_object_whose_pickling_raises_anything_is_a_serialization_error() -> None:
    class Odd:
        def __reduce__(self) -> tuple[Any, ...]:
            raise ZeroDivisionError("odd")

    with pytest.raises(SerializationError, match="ZeroDivisionError: odd"):
        pack(Odd())


def test_an_endless_structure_is_a_serialization_error() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(SerializationError):
        pack(nested)


def test_total_bytes_counts_all_frames() -> None:
    array = np.zeros(LARGE)
    assert total_bytes(pack(array)) > array.nbytes
    assert total_bytes(received(pack(array))) == total_bytes(pack(array))


def test_nested_frames_in_a_reference_cycle_are_collected_in_peace() -> None:
    """A PickleBuffer of a memoryview crashes Python (3.11) when both are garbage of a cycle."""
    array = np.zeros(100_000)
    for nested in (
        pack_nested([1]), pack_nested(array), pack_nested(array, snapshot=True),
        pack_nested({"a": array, "b": bytearray(100_000)}),
    ):  # fmt: skip
        assert not any(type(memoryview(frame).obj) is memoryview for frame in nested)
        cycle: list[Any] = [nested]
        cycle.append(cycle)
        del cycle
    del nested
    gc.collect()


@pytest.mark.parametrize("value", [1, b"x" * 1_000_000])
def test_frames_in_a_reference_cycle_are_collected_without_a_word(value: object) -> None:
    cycle: list[object] = [pack(value)]  # CPython 3.13 complained, and warnings are errors here
    cycle.append(cycle)
    del cycle
    assert gc.collect() > 0


def test_a_nested_snapshot_keeps_what_the_array_held() -> None:
    array = np.zeros(100_000)
    now, later = pack_nested(array, snapshot=True), pack_nested(array)
    array[0] = 1
    assert unpack(now)[0] == 0
    assert unpack(later)[0] == 1
    assert unpack(now).flags.writeable
    assert np.array_equal(unpack(unpack(pack(pack_nested(array)))), array)


def test_a_buffer_goes_out_of_band_from_the_limit_on() -> None:
    at, below = (np.zeros(size, "u1") for size in (OUT_OF_BAND_BYTES, OUT_OF_BAND_BYTES - 1))
    assert [len(pack(at)), len(pack_nested(at))] == [2, 2]
    assert [len(pack(below)), len(pack_nested(below))] == [1, 1]


@pytest.mark.parametrize(
    "array",
    [
        np.ma.masked_array([1, 2], mask=[True, False]),
        np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    ],
    ids=lambda array: type(array).__name__,
)
def test_a_read_only_array_of_a_subclass_keeps_its_type(array: Any) -> None:
    array.flags.writeable = False
    back = unpack(pack(array))
    assert type(back) is type(array)
    assert back.tolist() == array.tolist()


@pytest.mark.parametrize("kind", ["writable", "objects", "not contiguous"])
def test_only_read_only_arrays_of_plain_bytes_are_sent_through_an_alias(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alias of pointers to objects would not hold the objects."""
    array = np.array([{}, []], dtype=object) if kind == "objects" else np.arange(10)
    if kind != "writable":
        array.flags.writeable = False
    if kind == "not contiguous":
        array = array[::2]

    def refuse(*_: Any) -> Any:
        raise AssertionError(kind)

    monkeypatch.setattr(arrays, "_writable_alias", refuse)
    assert unpack(pack(array)).tolist() == array.tolist()


def test_frames_keep_a_read_only_array_alive() -> None:
    array = np.arange(LARGE, dtype="f8")
    array.flags.writeable = False
    alive = weakref.ref(array)
    frames = pack(array)
    del array
    gc.collect()
    assert alive() is not None
    assert np.array_equal(unpack(frames), np.arange(LARGE))


def test_of_two_variables_that_cannot_be_pickled_the_first_is_named() -> None:
    with pytest.raises(SerializationError, match="'first'") as caught:
        pack_namespace({"good": 1, "first": threading.Lock(), "second": threading.Lock()})
    assert caught.value.name == "first"
