"""Section 2: the verbs that move data, and the types of what is moved."""

from __future__ import annotations

import decimal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kernelfleet import MultiEngineClient, SerializationError
from tests.conformance.expect import failing
from tests.gate import Gate
from tests.promises import promise


@promise("2: push(dict) returns [None] * n; not a dict: TypeError")
def test_push(mec: MultiEngineClient) -> None:
    assert mec.push({"a": 1.03234, "b": 3453}) == [None] * 4
    assert mec.push({"c": "speed"}, targets=[3, 1]) == [None, None]
    for wrong in ([("a", 1)], "a", None, 3):
        with pytest.raises(TypeError, match="push takes a dict"):
            mec.push(wrong)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        mec.push({1: 2})  # type: ignore[dict-item]
    assert [*map(sorted, mec.keys())] == [
        ["a", "b"], ["a", "b", "c"], ["a", "b"], ["a", "b", "c"],
    ]  # fmt: skip


@promise("2: pull('a') returns [v0, v1, ...]")
def test_pull_of_one_name(mec: MultiEngineClient) -> None:
    assert mec.pull("engine_id") == [0, 1, 2, 3]
    assert mec.pull("engine_id", targets=2) == [2]


@promise("2: pull(('a', 'b')) returns inner lists, from a tuple or a list")
def test_pull_of_several_names(mec: MultiEngineClient) -> None:
    mec.push({"a": 1, "b": 2})
    assert mec.pull(("a", "b"), targets=[0, 1]) == [[1, 2], [1, 2]]
    assert mec.pull(["b", "a"], targets=0) == [[2, 1]]


@promise("2: pull of one name in a sequence is not nested")
def test_pull_of_one_name_in_a_sequence(mec: MultiEngineClient) -> None:
    assert mec.pull(("engine_id",)) == mec.pull(["engine_id"]) == [0, 1, 2, 3]


@promise("2: zip_pull(('a', 'b')) returns a tuple per name; from a single engine just [a, b]")
def test_zip_pull(mec: MultiEngineClient) -> None:
    mec.push({"a": 7})
    assert mec.zip_pull(("engine_id", "a")) == [(0, 1, 2, 3), (7, 7, 7, 7)]
    assert mec.zip_pull(("engine_id", "a"), targets=2) == [2, 7]
    assert mec.zip_pull(("engine_id", "a"), targets=[2]) == [2, 7]


@promise("2: push_function returns [None] * n, takes any callable, and TypeError for what is none")
def test_push_function(mec: MultiEngineClient) -> None:
    def f(x: float) -> float:
        return 2.0 * x**4

    assert mec.push_function({"f": f, "g": len, "D": decimal.Decimal}) == [None] * 4
    assert mec.execute("print(f(4.0), g('abc'), D('1.5'))")[3].stdout == "512.0 3 1.5\n"
    with pytest.raises(TypeError, match="'h' is not callable"):
        mec.push_function({"k": f, "h": 3})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        mec.push_function(f)  # type: ignore[call-overload]
    assert "k" not in mec.keys(targets=0)[0]


@promise("2: pull_function('f') and pull_function(('f', 'g')) return what is callable here")
def test_pull_function(mec: MultiEngineClient) -> None:
    mec.execute("def f(x): return x + 1\ng = lambda x: x * 10")
    functions = mec.pull_function("f")
    assert [f(1) for f in functions] == [2] * 4
    pairs = mec.pull_function(("f", "g"), targets=[0, 1])
    assert [[f(1), g(1)] for f, g in pairs] == [[2, 10], [2, 10]]


@promise("2: apply(func, *args, **kwargs) gives one return value per target")
def test_apply(mec: MultiEngineClient) -> None:
    assert mec.apply(divmod, 17, 5, targets=[1, 0]) == [(3, 2), (3, 2)]
    assert mec.apply(dict, a=1, targets=0) == [{"a": 1}]
    assert mec.apply(lambda: engine_id) == [0, 1, 2, 3]  # type: ignore[name-defined] # noqa: F821
    assert mec.apply(int, "7", targets=0, block=False).r == [7]
    with pytest.raises(TypeError, match="apply calls a function"):
        mec.apply("len", "abc")  # type: ignore[call-overload]


@promise("2: apply hands on every keyword but targets, block, timeout and return_exceptions")
def test_apply_hands_on_keywords_of_any_name(mec: MultiEngineClient) -> None:
    given: dict[str, Any] = {"function": 5, "self": 6, "args": 7, "kwargs": 8, "client": 9}
    assert mec.apply(lambda **kwargs: kwargs, targets=0, **given) == [given]


@promise("2: apply awaits an async function")
def test_apply_awaits(mec: MultiEngineClient) -> None:
    async def double(x: int) -> int:
        import asyncio

        await asyncio.sleep(0)
        return 2 * x

    assert mec.apply(double, 4) == [8] * 4


@promise("2: peek(name) is like pull, but at once, also from a busy engine")
def test_peek_does_not_wait_for_a_busy_engine(mec: MultiEngineClient, gate: Gate) -> None:
    busy = mec.execute(f"step = engine_id\n{gate.code}\nstep = 'after'", block=False)
    gate.entered(4)
    assert mec.peek("step", timeout=20) == [0, 1, 2, 3]
    assert mec.peek(("step", "n_engines"), targets=1) == [[1, 4]]
    with failing(NameError, engines=[0, 1, 2, 3], method="peek"):
        mec.peek("nothing")
    gate.open()
    mec.barrier(busy)
    assert mec.peek("step") == ["after"] * 4


@promise("2: mec[name] = value pushes and always waits; mec[name] pulls")
def test_dictionary_interface(mec: MultiEngineClient) -> None:
    mec["a"] = ["foo", "bar"]
    assert mec["a"] == [["foo", "bar"]] * 4
    mec.block = False
    mec["b"] = 2
    assert mec["b"] == [2] * 4
    with pytest.raises(SerializationError, match="'c'"):
        mec["c"] = threading.Lock()
    mec.targets = [1, 2]
    mec["d"] = 1
    mec.targets, mec.block = "all", True
    assert mec.keys() == [["a", "b"], ["a", "b", "d"], ["a", "b", "d"], ["a", "b"]]


@promise("2: mec[name] is a value also where block is False")
def test_an_item_of_a_client_that_does_not_block_is_a_value(mec: MultiEngineClient) -> None:
    mec.block = False
    mec["a"] = 5
    assert mec["a"] == [5] * 4


@promise("2: dotted names reach into objects: mec['model.coef_'], pull, peek, push")
def test_dotted_names_reach_into_objects(mec: MultiEngineClient) -> None:
    mec.execute("class Model:\n    pass\nmodel = Model(); model.inner = Model()", block=True)
    mec["model.coef_"] = [1, 2]
    mec.push({"model.inner.x": 3, "plain": 4}, targets=0)
    assert mec["model.coef_"] == [[1, 2]] * 4
    assert mec.pull(("model.inner.x", "plain"), targets=0) == [[3, 4]]
    assert mec.peek("model.inner.x", targets=0) == [3]
    mec.scatter("model.part", range(8))
    assert mec.gather("model.part") == list(range(8))
    with failing(AttributeError, engines=[1], match="no attribute 'x'"):
        mec.pull("model.inner.x", targets=[0, 1])
    with failing(NameError, engines=[0], match="name 'nothing' is not defined"):
        mec.pull("nothing.x", targets=0)
    with failing(NameError, engines=[0], match="name 'nothing' is not defined"):
        mec.push({"model.x": 1, "y": 1, "nothing.x": 1}, targets=0)
    mec.execute("class Slots:\n    __slots__ = ('x',)\nslots = Slots(); slots.x = 1", targets=0)
    with failing(AttributeError, engines=[0]):
        mec.push({"model.new": 1, "slots.x": 9, "slots.y": 1, "z": 1}, targets=0)
    assert mec.pull("slots.x", targets=0) == [1]
    with failing(AttributeError, engines=[0]):
        mec.pull("model.new", targets=0)
    assert "z" not in mec.keys(targets=0)[0]


@promise("2: mec[3] is a TypeError that points to mec.view(3)")
def test_a_key_is_a_name(mec: MultiEngineClient) -> None:
    with pytest.raises(TypeError, match=r"mec\.view\(3\)"):
        mec[3]  # type: ignore[index]
    with pytest.raises(TypeError, match=r"mec\.view\(0\)"):
        mec[0] = 1  # type: ignore[index]
    with pytest.raises(TypeError):
        iter(mec)


@promise("2: names complete after mec['")
def test_names_complete(mec: MultiEngineClient) -> None:
    mec.push({"alpha": 1})
    mec.push({"beta": 1}, targets=2)
    mec.block = False
    assert mec._ipython_key_completions_() == ["alpha", "beta"]
    assert "alpha" in mec
    assert "beta" not in mec


VALUES: list[Any] = [
    None, True, 3, 2**100, 2.5, float("inf"), 1j, "text", "", "\u00e9\N{SNOWMAN}\ud800", (),
    b"\x00\xff", bytearray(b"ab"), (1, [2]), [], {1, 2}, frozenset({1}), {"a": {2: (3,)}}, {},
    range(3), slice(1, 2), ..., decimal.Decimal("1.10"), int, b"x" * 300_000,
]  # fmt: skip


@promise("2: values keep their type on the round trip")
def test_values_keep_their_type(mec: MultiEngineClient) -> None:
    mec.push({"values": VALUES}, targets=0)
    (back,) = mec.pull("values", targets=0)
    assert back == VALUES
    assert [type(each) for each in back] == [type(each) for each in VALUES]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3, dtype=np.int16),
        np.zeros((0, 3)),
        np.array(5.0),
        np.arange(12.0).reshape(3, 4)[:, ::2],
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([1, "a", None], dtype=object),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.arange(5, dtype=">i4"),
        np.arange(100_000),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
@promise("2: arrays keep dtype, shape and contents")
def test_arrays_keep_dtype_and_shape(mec: MultiEngineClient, array: Any) -> None:
    mec.push({"x": array}, targets=1)
    (back,) = mec.pull("x", targets=1)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("size", [10, 200_000])
@promise("2: a pulled array is ours to write to, and so is a pushed one on the engine")
def test_arrays_are_writable_on_both_sides(mec: MultiEngineClient, size: int) -> None:
    mine = np.zeros(size)
    mine.flags.writeable = False
    mec.push({"x": mine})
    mec.execute("x[0] = engine_id")
    first, second = mec.pull("x", targets=[1, 2])
    first[:] = 9
    assert second[0] == 2
    assert mine[0] == 0
    assert mec.execute("print(x[0])")[1].stdout == "1.0\n"
    (again,) = mec.apply(lambda a: a + 1, mine, targets=0)
    again += 1
    assert again[0] == 2


@promise("2: what is pushed with block=False is what it was at the call")
def test_a_pushed_array_is_that_of_the_call(mec: MultiEngineClient, gate: Gate) -> None:
    busy = mec.execute(gate.code, block=False)
    gate.entered(4)
    array = np.zeros(200_000)
    pending = mec.push({"x": array}, block=False)
    array[:] = 1
    gate.open()
    mec.barrier([busy, pending])
    assert mec.apply(lambda: float(x.sum())) == [0.0] * 4  # type: ignore[name-defined] # noqa: F821


@promise("2: what cannot be pickled fails with SerializationError naming the variable")
def test_what_cannot_be_pickled_is_named_and_nothing_is_half_pushed(mec: MultiEngineClient) -> None:
    pushes: list[Callable[[], Any]] = [
        lambda: mec.push({"fine": 1, "lock": threading.Lock()}),
        lambda: mec.push({"fine": 1, "lock": threading.Lock()}, block=False),
        lambda: mec.scatter("lock", [1, threading.Lock()]),
    ]
    for push in pushes:
        with pytest.raises(SerializationError, match="'lock'") as caught:
            push()
        assert caught.value.name == "lock"
    with pytest.raises(SerializationError):
        mec.apply(len, threading.Lock())
    assert mec.keys() == [[], [], [], []]


@promise("2: what an engine cannot pickle fails with SerializationError naming the variable")
def test_what_an_engine_cannot_pickle_is_named(mec: MultiEngineClient) -> None:
    mec.execute("import threading\nlock = threading.Lock() if engine_id else 1\nfine = 1")
    with failing(SerializationError, engines=[1, 2, 3], method="pull", match="'lock'") as error:
        mec.pull(("fine", "lock"))
    assert error.value.results == {0: [1, 1]}
    member = error.value.exceptions[0]
    assert isinstance(member, SerializationError)
    assert member.name == "lock"
    with failing(SerializationError, engines=[0], method="apply"):
        mec.apply(lambda: __import__("threading").Lock(), targets=0)


@promise("2: a missing name is a CompositeError of NameError, tagged [0:pull]")
def test_a_missing_name_is_a_name_error(mec: MultiEngineClient) -> None:
    with failing(NameError, engines=[0], match="^name 'x' is not defined$") as error:
        mec.pull("x", targets=0)
    assert str(error.value) == (
        "one or more exceptions from call to method: pull\n"
        "[0:pull]: NameError: name 'x' is not defined"
    )


@promise("2: pull is all or nothing: one missing name or one engine lacking it fails the call")
def test_pull_is_all_or_nothing(mec: MultiEngineClient) -> None:
    mec.push({"a": 1})
    mec.push({"b": 2}, targets=[0, 1])
    with failing(NameError, engines=[2, 3], match="'b'"):
        mec.pull(("a", "b"))
    for verb in (mec.zip_pull, mec.pull_function):
        with failing(NameError, engines=[3], match="'b'"):
            verb(("a", "b"), targets=[0, 3])
    with failing(NameError, engines=[2, 3], method="gather"):
        mec.gather("b")


@promise("2: names are strings, and identifiers where they are set")
def test_names_are_checked_here(mec: MultiEngineClient) -> None:
    for wrong in (1, None, {"a"}):
        with pytest.raises(TypeError):
            mec.pull(wrong)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="cannot name a variable"):
        mec.push({"not a name": 1})
    for keyword in ("class", "None", "model.class"):
        for refuse in (
            lambda name=keyword: mec.push({name: 1}),
            lambda name=keyword: mec.push_function({name: abs}),
            lambda name=keyword: mec.scatter(name, [1]),
            lambda name=keyword: mec.__setitem__(name, 1),
        ):
            with pytest.raises(ValueError, match="is a keyword of Python"):
                refuse()
    for wrong_path in (".a", "a.", "a..b", ""):
        with pytest.raises(ValueError, match="cannot name a variable"):
            mec.push({wrong_path: 1})
