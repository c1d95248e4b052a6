from __future__ import annotations

from typing import Any

import pytest

from kernelfleet import this_engine
from kernelfleet.engine.running.namespace import _is_history
from kernelfleet.errors import SerializationError
from kernelfleet.wire.objects.serialize import pack, unpack
from tests.engine.driver import Engine

factor = 3


def times_factor(x: int) -> int:
    return x * factor


def test_push_and_pull_keep_values_and_types(engine: Engine) -> None:
    values = {"a": 1, "b": b"\0\1", "c": {1, 2}, "d": None, "e": [1, (2, "x")], "_mine": 1.5}
    assert engine.push(**values)["status"] == "ok"
    assert engine.pull(*values) == list(values.values())


def test_arrays_travel_and_arrive_writable(engine: Engine) -> None:
    np = pytest.importorskip("numpy")
    big, small = np.arange(100_000), np.arange(3)
    engine.push(big=big, small=small)
    engine.execute("big[0] = -1; small[0] = -1")
    big_there, small_there = engine.pull("big", "small")
    assert big_there[0] == small_there[0] == -1
    big_there[1] = 5
    assert (big_there[2:] == big[2:]).all()


def test_a_missing_name_is_a_name_error(engine: Engine) -> None:
    engine.push(a=1)
    reply = engine.ask("fleet_pull_request", {"names": ["a", "nope"]})
    content = reply["content"]
    assert (content["ename"], content["evalue"]) == ("NameError", "name 'nope' is not defined")
    assert isinstance(unpack(reply["buffers"]), NameError)


def test_what_cannot_be_pickled_is_named(engine: Engine) -> None:
    engine.execute("import threading\ngood = 1\nlock = threading.Lock()")
    reply = engine.ask("fleet_pull_request", {"names": ["good", "lock"]})
    content = reply["content"]
    assert (content["ename"], content["kind"]) == ("SerializationError", "serialization")
    assert "lock" in content["evalue"]
    error = unpack(reply["buffers"])
    assert isinstance(error, SerializationError)
    assert error.name == "lock"


class FailsToUnpickle:
    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("not a number",)


def test_a_push_that_fails_to_unpickle_pushes_nothing(engine: Engine) -> None:
    reply = engine.ask("fleet_push_request", buffers=pack({"a": 1, "b": FailsToUnpickle()}))
    assert reply["content"]["ename"] == "ValueError"
    assert engine.keys() == []


def test_keys_are_the_users_names_only(engine: Engine) -> None:
    assert engine.keys() == []
    engine.push(a=1, _own=2)
    engine.execute("b = 3\nimport os\ndef f(): pass\nclass C: pass\n7")
    engine.execute("b")
    assert engine.keys() == ["a", "_own", "b", "os", "f", "C"]
    engine.execute("open = 5; exit = 6")
    assert {"open", "exit"} <= set(engine.keys())


def test_the_engine_knows_its_number(engine: Engine) -> None:
    assert engine.pull("engine_id", "n_engines") == [3, 4]
    engine.execute("engine_id = 99")
    assert engine.keys() == ["engine_id"]
    engine.reset()
    assert engine.pull("engine_id") == [3]
    assert engine.keys() == []


def test_identity_changes_on_control_also_while_busy(engine: Engine) -> None:
    code = "import time\nprint('now', flush=True)\nwhile n_engines == 4: time.sleep(0.01)"
    sent = engine.send("fleet_execute_request", {"code": code})
    engine.wait_for_output(sent, "now")
    content = {"engine_id": 3, "n_engines": 5}
    assert engine.ask_control("fleet_identity_request", content)["content"]["status"] == "ok"
    assert engine.reply_to(sent)["content"]["status"] == "ok"
    engine.ask_control("fleet_identity_request", {"engine_id": 3, "n_engines": 4})
    assert engine.pull("n_engines") == [4]


def test_reset_empties_and_numbers_from_one(engine: Engine) -> None:
    engine.execute("a = 1\na")
    engine.reset()
    assert engine.keys() == []
    assert engine.execute("1")["number"] == 1
    assert engine.execute("Out")["messages"][0]["content"]["data"]["text/plain"] == "{1: 1}"


@pytest.mark.parametrize(
    "code",
    ["%reset -f", "%reset -f\nhere = (engine_id, n_engines)", "%reset -s -f", "del engine_id",
     "%reset_selective -f ^(engine_id|n_engines|a)$"],
)  # fmt: skip
def test_an_engine_knows_who_it_is_whatever_a_cell_has_emptied(engine: Engine, code: str) -> None:
    engine.push(a=1)
    assert engine.execute(code)["status"] == "ok"
    assert engine.pull("engine_id", "n_engines") == [3, 4]
    names = engine.keys()
    assert set(names) <= {"here", "a"}
    assert ("a" in names) == (code == "del engine_id")
    if "here" in code:
        assert engine.pull("here") == [(3, 4)]
    assert engine.execute("__spec__")["status"] == "ok"  # multiprocessing asks for it


@pytest.mark.parametrize("name", ["_", "__", "___", "_1", "_42", "_i", "_ii", "_iii", "_i7"])
def test_history_names_are_ipythons(name: str) -> None:
    assert _is_history(name)


@pytest.mark.parametrize("name", ["a", "_a", "_x1", "__a", "_index", "_i_", "____", "_iiii", "__1"])
def test_other_underscore_names_are_the_users(name: str) -> None:
    assert not _is_history(name)


# -- what functions bring along -------------------------------------------------------------
# A test module is a local module; functions of __main__ are made as a notebook makes them.


def in_main(source: str, **names: Any) -> dict[str, Any]:
    """Run code as the caller's ``__main__`` would."""
    namespace: dict[str, Any] = {"__name__": "__main__", **names}
    exec(source, namespace)
    return namespace


def test_what_a_call_brings_never_goes_stale(engine: Engine) -> None:
    main = in_main("factor = 3\ndef f(x): return x * factor")
    assert engine.apply(main["f"], 2) == 6
    main["factor"] = 5
    assert engine.apply(main["f"], 2) == 10
    assert engine.keys() == []


def test_the_users_names_win_over_brought_ones(engine: Engine) -> None:
    main = in_main("factor = 3\ndef f(x): return x * factor")
    engine.push(factor=100)
    assert engine.apply(main["f"], 2) == 200
    engine.reset()
    assert engine.apply(main["f"], 2) == 6
    engine.execute("factor = 1000")
    assert engine.apply(main["f"], 2) == 2000
    assert engine.keys() == ["factor"]


def test_pushing_or_binding_a_brought_name_makes_it_the_users(engine: Engine) -> None:
    main = in_main("factor = 3\nother = None\nimport math\ndef f(x): return factor, other, math")
    engine.apply(main["f"], 2)
    assert engine.keys() == []
    engine.push(factor=3)
    engine.execute("other = None; import math")
    assert sorted(engine.keys()) == ["factor", "math", "other"]
    main["factor"] = 4
    assert engine.apply(main["f"], 2)[0] == 3


def test_using_a_brought_name_does_not_make_it_the_users(engine: Engine) -> None:
    main = in_main("factor = 3\ndef f(x): return x * factor")
    engine.apply(main["f"], 2)
    engine.execute("y = factor\ndef g():\n    factor = 7")
    assert sorted(engine.keys()) == ["g", "y"]


def test_functions_see_and_set_the_engines_variables(engine: Engine) -> None:
    main = in_main("def f(x):\n    global total\n    total = x + base\n    return total")
    engine.push(base=10)
    assert engine.apply(main["f"], 1) == 11
    assert engine.pull("total") == [11]
    assert engine.keys() == ["base", "total"]


def test_pushed_functions_are_listed_their_companions_are_not(engine: Engine) -> None:
    main = in_main("def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n and even(n - 1)")
    engine.push(even=main["even"])
    assert engine.keys() == ["even"]
    assert engine.execute("print(even(10))")["stdout"] == "True\n"


def test_a_local_modules_function_brings_its_own_globals(engine: Engine) -> None:
    engine.push(factor=100)
    assert engine.apply(times_factor, 2) == 6
    assert engine.pull("factor") == [100]


def test_a_function_made_inside_a_function_of_a_module_falls_back_to_the_namespace(
    engine: Engine,
) -> None:
    engine.push(only_there="found")
    assert engine.apply(lambda: only_there) == "found"  # type: ignore[name-defined]  # noqa: F821
    answer = engine.ask_apply(lambda: nowhere)  # type: ignore[name-defined]  # noqa: F821
    assert answer["content"]["ename"] == "NameError"


def test_a_function_of_a_module_sees_its_module_and_asks_for_the_namespace(engine: Engine) -> None:
    engine.push(only_there="found")
    assert engine.apply(asks_for_the_namespace) == (3, "found")
    assert engine.ask_apply(uses_a_pushed_name)["content"]["ename"] == "NameError"


def asks_for_the_namespace() -> tuple[int, object]:
    engine = this_engine()
    assert engine is not None
    return engine.id, engine.namespace["only_there"]


def uses_a_pushed_name() -> str:
    return only_there  # type: ignore[name-defined, no-any-return]  # noqa: F821


def test_ipythons_own_names_are_not_brought(engine: Engine) -> None:
    engine.execute("def f(): return get_ipython().user_ns['engine_id'], open, In, engine_id")
    (function,) = engine.pull("f")
    assert set(function.__globals__) >= {"engine_id"}
    assert {"get_ipython", "In", "open"}.isdisjoint(function.__globals__)
    assert engine.apply(lambda: get_ipython().user_ns["engine_id"]) == 3  # type: ignore[name-defined]  # noqa: F821
