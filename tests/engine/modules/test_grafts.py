"""Old functions and classes get the contents of new ones, where that can be."""

from __future__ import annotations

import abc
import functools
from typing import Any

from kernelfleet.engine.modules import grafts


def defined(source: str, namespace: dict[str, Any] | None = None) -> dict[str, Any]:
    namespace = {"__name__": "kf_grafted"} if namespace is None else namespace
    exec(source, namespace)
    return namespace


def two(first: str, second: str, name: str) -> tuple[Any, Any]:
    """A thing of one module before and after."""
    namespace = defined(first)
    was = namespace[name]
    return was, defined(second, namespace)[name]


def restored(now: Any, was: Any, variables: dict[str, Any] | None = None) -> bool:
    """Whether the old class was given the new one's contents."""
    found = grafts.as_before(now, variables or {was.__name__: was})
    assert found in (now, was)
    return found is was


def test_a_function_takes_code_defaults_text_and_attributes() -> None:
    was, now = two(
        "def f(a=1): 'Old.'", "def f(a=2, *, b=3) -> int:\n    'New.'\n    return a", "f"
    )
    was.note, now.other = 1, 2
    assert grafts.graft(was, now)
    assert (was(), was.__kwdefaults__, was.__doc__) == (2, {"b": 3}, "New.")
    assert was.__annotations__ == {"return": "int"}
    assert vars(was) == {"other": 2}


def test_functions_of_other_names_or_closures_are_left_alone() -> None:
    namespace = defined("def f(): return 'f'\ndef g(): return 'g'\n")
    assert not grafts.graft(namespace["f"], namespace["g"])
    assert namespace["f"]() == "f"
    was, now = two(
        "def make(): return lambda: 1\nf = make()",
        "def make(x=2): return lambda: x\nf = make()",
        "f",
    )
    assert not grafts.graft(was, now)
    assert not grafts.graft(5, 6)


def test_functions_of_other_modules_are_left_alone() -> None:
    one, other = defined("def f(): return 1"), defined("def f(): return 2")
    assert not grafts.graft(one["f"], other["f"])


def test_cells_of_a_closure_take_the_new_contents() -> None:
    source = "def make(x):\n    def inner(): return x\n    return inner\nf = make({})\n"
    was, now = two(source.replace("{}", "1"), source.replace("{}", "2"), "f")
    held = was
    assert grafts.graft(was, now)
    assert held() == 2


def test_a_cache_of_other_options_is_left_alone() -> None:
    plain = defined("def f(): return 1")["f"]
    assert not grafts.graft(functools.lru_cache(maxsize=1)(plain), functools.lru_cache(2)(plain))


def test_a_class_of_other_bases_slots_or_metaclass_is_another_class() -> None:
    for first, second in [
        ("class C: pass", "class C(dict): pass"),
        ("class C: pass", "class C:\n    __slots__ = ('a',)"),
        ("import abc\nclass C: pass", "class C(metaclass=abc.ABCMeta): pass"),
        (
            "import enum\nclass C(enum.Enum):\n    A = 1",
            "class C(enum.Enum):\n    A = 1\n    B = 2",
        ),
    ]:
        namespace = defined(first)
        was = namespace["C"]
        now = defined(second, namespace)["C"]
        assert not restored(now, was)


def test_an_enumeration_of_the_same_members_takes_the_new_methods() -> None:
    was, now = two(
        "import enum\nclass C(enum.Enum):\n    A = 1\n    def m(self): return 1",
        "class C(enum.Enum):\n    A = 1\n    def m(self): return 2",
        "C",
    )
    member = was.A
    assert restored(now, was)
    assert was.A is member
    assert member.m() == 2
    assert was(1) is member


def test_what_was_registered_with_an_abstract_class_stays() -> None:
    was, now = two(
        "import abc\nclass C(abc.ABC):\n    @abc.abstractmethod\n    def m(self): pass",
        "class C(abc.ABC):\n    @abc.abstractmethod\n    def n(self): pass",
        "C",
    )
    was.register(int)
    assert restored(now, was)
    assert isinstance(5, was)
    assert isinstance(was, abc.ABCMeta)
    assert was.__abstractmethods__ == {"n"}


def test_a_class_in_a_class_is_found_by_its_path() -> None:
    was, now = two(
        "class C:\n    class In:\n        k = 1", "class C:\n    class In:\n        k = 2", "C"
    )
    inner = was.In
    assert restored(now.In, inner, {"C": was})
    assert inner.k == 2


def test_properties_and_class_methods_are_taken_over() -> None:
    was, now = two(
        "class C:\n    p = property(lambda self: 1)\n    @classmethod\n    def k(cls): return 1\n"
        "    @staticmethod\n    def s(): return 1\n",
        "class C:\n    p = property(lambda self: 2)\n    @classmethod\n    def k(cls): return 2\n"
        "    @staticmethod\n    def s(): return 2\n",
        "C",
    )
    instance = was()
    assert restored(now, was)
    assert (instance.p, was.k(), was.s()) == (2, 2, 2)


def test_settling_puts_each_old_object_under_one_name_only() -> None:
    namespace = defined(
        "def deco(f):\n    def wrapper(): return f()\n    return wrapper\n"
        "@deco\ndef f(): return 'f'\n@deco\ndef h(): return 'h'\ncb = f\n"
    )
    before = dict(namespace)
    defined("@deco\ndef f(): return 'f2'\n@deco\ndef h(): return 'h2'\ncb = h\n", namespace)
    grafts.keep_identities(namespace, before, "kf_grafted")
    assert (before["f"](), before["h"]()) == ("f2", "h2")
    assert namespace["f"] is before["f"]
    assert namespace["cb"] is namespace["h"] is before["h"]
