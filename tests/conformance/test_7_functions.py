"""Section 7: scatter and gather, and how functions travel."""

from __future__ import annotations

import enum
import sys
from array import array
from typing import Any

import cloudpickle
import numpy as np
import pytest

from kernelfleet import CompositeError, MultiEngineClient, this_engine
from tests.promises import promise


@pytest.mark.parametrize(
    ("items", "lengths"), [(10, [3, 3, 2, 2]), (2, [1, 1, 0, 0]), (0, [0] * 4)]
)
@promise("7: contiguous blocks, the extra items to the first engines")
def test_scatter_makes_contiguous_blocks(
    mec: MultiEngineClient, items: int, lengths: list[int]
) -> None:
    assert mec.scatter("x", list(range(items))) == [None] * 4
    parts = mec.pull("x")
    assert [len(part) for part in parts] == lengths
    assert [item for part in parts for item in part] == list(range(items))


@pytest.mark.parametrize(
    ("seq", "kind"),
    [
        ([1, 2, 3], list), ((1, 2, 3), tuple), ("abc", str), (b"abc", bytes), (range(3), list),
        (array("i", [1, 2, 3]), array), (np.arange(3), np.ndarray),
    ],
)  # fmt: skip
@promise("7: slicing keeps the type; a range is sent as lists")
def test_scatter_keeps_the_type(mec: MultiEngineClient, seq: Any, kind: type) -> None:
    mec.scatter("x", seq, targets=[0, 1])
    parts = mec.pull("x", targets=[0, 1])
    assert [type(part) for part in parts] == [kind, kind]
    assert [len(part) for part in parts] == [2, 1]


@promise("7: flatten=True pushes a partition of exactly one item bare")
def test_flatten_pushes_single_items_bare(mec: MultiEngineClient) -> None:
    mec.scatter("x", range(5), flatten=True)
    assert mec.pull("x") == [[0, 1], 2, 3, 4]
    assert mec.gather("x") == [0, 1, 2, 3, 4]
    mec.scatter("x", [7, 8], flatten=True)
    assert mec.pull("x") == [7, 8, [], []]


@promise("7: gather joins in target order: arrays concatenate")
def test_gather_joins_arrays(mec: MultiEngineClient) -> None:
    grid = np.arange(20.0).reshape(10, 2)
    mec.scatter("x", grid)
    mec.execute("x *= 2")
    back = mec.gather("x")
    np.testing.assert_array_equal(back, grid * 2)
    back[0] = 1
    np.testing.assert_array_equal(mec.gather("x", targets=[1, 0]), 2 * grid[[3, 4, 5, 0, 1, 2]])


@promise("7: gather joins lists and tuples to one flat list, in target order")
def test_gather_joins_lists_and_tuples(mec: MultiEngineClient) -> None:
    mec.scatter("x", tuple(range(6)))
    assert mec.gather("x") == [0, 1, 2, 3, 4, 5]
    assert mec.gather("x", targets=[3, 0]) == [5, 0, 1]


@promise("7: gather of anything else gives the list of values")
def test_gather_of_anything_else(mec: MultiEngineClient) -> None:
    assert mec.gather("engine_id") == [0, 1, 2, 3]
    mec.scatter("x", "abcdefgh")
    assert mec.gather("x") == ["ab", "cd", "ef", "gh"]


@promise("7: scatter obeys targets and block, and refuses what has no order or no length")
def test_scatter_obeys_targets_and_block(mec: Any) -> None:
    mec.targets, mec.block = [3, 1], False
    assert mec.scatter("x", range(3)).r == [None, None]
    assert mec.pull("x").r == [[0, 1], [2]]
    for wrong in ({1, 2}, {1: 2}, 3, iter([1])):
        with pytest.raises(TypeError, match="cannot scatter"):
            mec.scatter("x", wrong)


def _outer(base: int) -> Any:
    def inner(x: int, *, step: int = 10) -> int:
        return base + x + step

    return inner


@promise("7: functions travel by value with closures, defaults and annotations")
def test_functions_travel_with_what_they_hold(mec: MultiEngineClient) -> None:
    function = _outer(100)
    assert mec.apply(function, 1, targets=0) == [111]
    mec.push({"f": function})
    assert mec.execute("print(f(2), f(2, step=0), f.__annotations__)", targets=0)[0].stdout == (
        "112 102 {'x': 'int', 'step': 'int', 'return': 'int'}\n"
    )
    mec.push_function({"g": function})
    (back,) = mec.pull_function("g", targets=0)
    assert back(1, step=1) == 102


@promise("7: what can be imported by its name travels as its name, wherever it lies")
def test_what_can_be_imported_is_the_engines_own(mec: MultiEngineClient) -> None:
    assert mec.apply(np.sum, [1, 2], targets=0) == [3]
    mec.push({"mark": MARK, "f": keeps_count, "g": keeps_count}, targets=0)
    assert mec.execute("f is g, type(mark).__module__ == f.__module__", targets=0).values() == [
        (True, True)
    ]
    assert mec.apply(is_mark, MARK, targets=0) == [True]
    assert mec.apply(keeps_count, targets=0) == [1]
    assert mec.apply(lambda: [keeps_count()], targets=0) == [[2]]
    mec.execute("STATE = __import__(f.__module__, fromlist=['x'])", targets=0)
    assert mec.execute("STATE.COUNT.clear()", targets=0)


class Mark(enum.Enum):
    MARK = 1


MARK = Mark.MARK
COUNT: list[int] = []


def is_mark(value: object) -> bool:
    return value is MARK


def keeps_count() -> int:
    COUNT.append(1)
    return len(COUNT)


@promise("7: a function of a module sees its module's globals; this_engine() has the rest")
def test_a_function_of_a_module_asks_for_its_engine(mec: MultiEngineClient) -> None:
    mec.push({"pushed": 5})
    assert mec.apply(asks) == [(i, 4, 5) for i in range(4)]
    assert this_engine() is None


def asks() -> tuple[int, int, object]:
    engine = this_engine()
    assert engine is not None
    return engine.id, engine.n_engines, engine.namespace["pushed"]


@promise("2: register_by_value(module) lets its functions travel by value: they see the engine's")
def test_functions_of_a_module_that_is_named_see_the_engines_variables(
    mec: MultiEngineClient,
) -> None:
    mec.push({"pushed": 5})
    with pytest.raises(CompositeError) as caught:
        mec.apply(uses_pushed, targets=0)
    assert "register_by_value" in caught.value.exceptions[0].__notes__[0]
    module = sys.modules[__name__]
    mec.register_by_value(module)
    try:
        assert mec.apply(uses_pushed) == [5] * 4
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def uses_pushed() -> object:
    return pushed  # type: ignore[name-defined]  # noqa: F821 (the engine's)


@promise("7: a by-value function that calls itself by its name calls itself")
def test_a_recursive_function_calls_itself(mec: MultiEngineClient) -> None:
    mec.execute("def fact(n): return 0")
    fact = in_main("def fact(n): return 1 if n < 2 else n * fact(n - 1)")["fact"]
    assert mec.map(fact, [5, 6]) == [120, 720]
    assert mec.execute("fact(5)").values() == [0] * 4
    assert mec.keys(targets=0) == [["fact"]]


@promise("7: by-value classes travel with their slots, cached properties and single dispatch")
def test_classes_and_generic_functions_of_a_notebook_travel(mec: MultiEngineClient) -> None:
    main = in_main(
        "import functools\nclass S:\n    __slots__ = ('a', '__b')\n"
        "    def __init__(self): self.a, self.__b = 1, 2\n    def b(self): return self.__b\n"
        "class C:\n    @functools.cached_property\n    def v(self): return 42\n"
        "@functools.singledispatch\ndef f(x): return 'object'\n"
        "@f.register\ndef _(x: int): return 'int'\n"
    )
    (there,) = mec.apply(lambda s: (s.a, s.b(), hasattr(s, "__dict__"), s), main["S"](), targets=0)
    assert there[:3] == (1, 2, False)
    assert type(there[3]) is main["S"]
    assert mec.apply(lambda c: c.v, main["C"](), targets=0) == [42]
    assert mec.map(main["f"], [1, "a"]) == ["int", "object"]


def in_main(source: str) -> dict[str, Any]:
    """Names as a notebook would define them: functions of ``__main__``."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    return namespace


@promise("7: on the engine a function's globals are the engine's namespace")
def test_functions_see_variables_pushed_to_the_engine(mec: MultiEngineClient) -> None:
    mec.execute("factor = engine_id + 1")
    notebook = in_main("def f(x): return x * factor")
    assert mec.apply(notebook["f"], 10) == [10, 20, 30, 40]
    mec.push_function({"f": notebook["f"]})
    mec.execute("factor = 5", targets=0)
    assert mec.apply(lambda: f(1)) == [5, 2, 3, 4]  # type: ignore[name-defined] # noqa: F821


@promise("7: names the user put on the engine win over what a call brings along")
def test_the_users_names_on_the_engine_win(mec: MultiEngineClient) -> None:
    mec.push({"factor": 100}, targets=0)
    notebook = in_main("factor = 3\ndef f(x): return x * factor")
    assert mec.apply(notebook["f"], 1) == [100, 3, 3, 3]


@promise("7: what a call brings along is not listed by keys() and never goes stale")
def test_what_a_call_brings_along_never_goes_stale(mec: MultiEngineClient) -> None:
    notebook = in_main("import math\nfactor = 3\ndef f(x): return math.floor(x) * factor")
    assert mec.apply(notebook["f"], 1.5, targets=0) == [3]
    notebook["factor"] = 5
    assert mec.apply(notebook["f"], 1.5, targets=0) == [5]
    assert mec.keys(targets=0) == [[]]
