"""A function that calls itself means itself, whatever an engine has under its name."""

from __future__ import annotations

import functools
import io
import types
from collections.abc import Iterator
from typing import Any

import pytest

from kernelfleet.wire.objects import arrivals, recursion
from kernelfleet.wire.objects.arrivals import load
from kernelfleet.wire.objects.functions import FleetPickler

FACT = "def fact(n): return 1 if n < 2 else n * fact(n - 1)"


class Provider:
    """An engine's namespace, in which the user has a ``fact`` of his own."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {"__name__": "__main__"}
        self.hidden: list[str] = []

    def namespace(self) -> dict[str, Any]:
        return self.user_ns

    def bring(self, names: dict[str, Any]) -> None:
        for name, value in names.items():
            self.user_ns.setdefault(name, value)

    def hide(self, names: dict[str, Any]) -> None:
        self.user_ns.update(names)
        self.hidden += names


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    exec("def fact(*_): return 0\ndef fib(*_): return 0", provider.user_ns)
    arrivals.set_namespace_provider(provider)
    yield provider
    arrivals.set_namespace_provider(None)


def packed(obj: object) -> bytes:
    stream = io.BytesIO()
    FleetPickler(stream).dump(obj)
    return stream.getvalue()


def arrived(source: str, name: str = "fact") -> Any:
    namespace: dict[str, Any] = {"__name__": "__main__", "functools": functools}
    exec(source, namespace)
    return load(packed(namespace[name]))


def test_a_function_calls_itself_and_leaves_the_users_alone(provider: Provider) -> None:
    there = arrived(FACT)
    assert there(5) == 120
    assert provider.user_ns["fact"](5) == 0
    assert there.__globals__ is provider.user_ns


def test_without_a_users_function_it_has_its_name_too(provider: Provider) -> None:
    del provider.user_ns["fact"]
    there = arrived(FACT)
    assert there(5) == 120
    assert provider.user_ns["fact"] is there


def test_what_wraps_a_function_is_what_it_calls(provider: Provider) -> None:
    fib = arrived(
        "@functools.lru_cache\ndef fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)", "fib"
    )
    assert fib(60) == 1548008755920
    assert fib.cache_info().hits > 0


def test_nested_code_calls_the_function_too(provider: Provider) -> None:
    assert arrived("def fact(n): return sum(fact(i) for i in range(n)) + 1")(4) == 16


def test_an_attribute_of_the_same_name_is_left_alone(provider: Provider) -> None:
    there = arrived(
        "def fact(n, o=None):\n"
        "    if o is not None: return o.fact + fact(n)\n"
        "    return 1 if n < 2 else n * fact(n - 1)"
    )
    assert there(5, types.SimpleNamespace(fact=1000)) == 1120


def test_a_function_that_imports_its_own_name_is_left_alone(provider: Provider) -> None:
    there = arrived("def json(n):\n    import json\n    return json.dumps(n)", "json")
    assert there([1]) == "[1]"


def test_a_function_that_binds_its_own_name_is_left_alone(provider: Provider) -> None:
    there = arrived("def fact(n):\n    global fact\n    fact = n\n    return fact")
    assert there(3) == 3
    assert provider.user_ns["fact"] == 3


def test_a_function_of_very_many_names_is_left_alone(provider: Provider) -> None:
    many = "".join(f"    if n < 0: name{i}\n" for i in range(200))
    there = arrived(f"def fact(n):\n{many}    return 1 if n < 2 else n * fact(n - 1)")
    assert there(1) == 1


def test_equal_code_with_other_defaults_stays_apart(provider: Provider) -> None:
    source = "def fact(n, top={}): return [top] if n < 1 else [top, *fact(n - 1)]"
    one, two = arrived(source.format(1)), arrived(source.format(2))
    assert one(1) == [1, 1]
    assert two(1) == [2, 2]
    assert arrived(source.format(1))(1) == [1, 1]
    assert len(set(provider.hidden)) == 2


def test_defaults_that_cannot_be_compared_do_not_share(provider: Provider) -> None:
    np = pytest.importorskip("numpy")
    namespace: dict[str, Any] = {"__name__": "__main__", "np": np}
    exec("def fact(n, a=np.arange(3)): return a.sum() if n < 1 else fact(n - 1)", namespace)
    assert load(packed(namespace["fact"]))(2) == 3
    assert load(packed(namespace["fact"]))(2) == 3


def test_the_same_function_again_and_again_leaves_one_name(provider: Provider) -> None:
    for _ in range(5):
        assert arrived(FACT)(3) == 6
    assert len(set(provider.hidden)) == 1


def test_a_function_that_goes_back_and_comes_again_still_calls_itself(provider: Provider) -> None:
    data = packed(arrived(FACT))
    arrivals.set_namespace_provider(None)
    home = load(data)
    assert home(5) == 120
    arrivals.set_namespace_provider(provider)
    assert load(packed(home))(5) == 120


def test_lines_and_names_are_those_of_the_function(provider: Provider) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("\n\n" + FACT, "<cell 9>", "exec"), namespace)
    code = load(packed(namespace["fact"])).__code__
    assert (code.co_filename, code.co_firstlineno, code.co_name) == ("<cell 9>", 3, "fact")


def test_code_that_assigns_globals_is_told_nested_code_too() -> None:
    namespace: dict[str, Any] = {}
    exec(
        "def reads(): return x\ndef assigns():\n    global x\n    x = 1\n"
        "def nested():\n    def inner():\n        global x\n        del x\n    return inner",
        namespace,
    )
    answers = [
        recursion.assigns_globals(namespace[name].__code__)
        for name in ("reads", "assigns", "nested")
    ]
    assert answers == [False, True, True]
