"""What of a module is executed again after an edit; and what is left alone."""

from __future__ import annotations

import ast
import sys
import types

import pytest

from kernelfleet.engine.modules import edits


def executed(before: str, after: str, module: types.ModuleType | None = None) -> str | None:
    """The statements that are executed again, as text; None for all of the module."""
    module = module or types.ModuleType("kf_edited")
    part = edits.what_changed(before.encode(), after.encode(), module)
    return None if part is None else ast.unparse(part.tree)


def test_an_unchanged_text_executes_nothing() -> None:
    assert executed("a = 1\ndef f(): pass\n", "# new\na = 1\n\n\ndef f(): pass\n") == ""


def test_only_what_was_changed_is_executed() -> None:
    before = "STATE = {}\nMISSING = object()\ndef f(): return 1\n"
    assert executed(before, before.replace("1", "2")) == "def f():\n    return 2"


def test_what_reads_a_changed_name_while_it_is_executed_follows() -> None:
    before = "K = 1\nL = K + 1\nM = 5\n"
    assert executed(before, before.replace("K = 1", "K = 10")) == "K = 10\nL = K + 1"


def test_a_function_that_reads_a_changed_name_is_not_executed_but_its_callers_are() -> None:
    before = "K = 1\ndef build(): return K\nTABLE = build()\ndef use(): return build()\n"
    after = before.replace("K = 1", "K = 2")
    assert executed(before, after) == "K = 2\nTABLE = build()"


def test_decorators_defaults_and_class_bodies_are_read_at_once() -> None:
    before = (
        "K = 1\n@deco(K)\ndef f(): pass\ndef g(x=K): pass\nclass C:\n    k = K\nh = lambda: K\n"
    )
    after = before.replace("K = 1", "K = 2")
    expected = (
        "K = 2\n\n@deco(K)\ndef f():\n    pass\n\ndef g(x=K):\n    pass\n\nclass C:\n    k = K"
    )
    assert executed(before, after) == expected


def test_all_definitions_of_a_name_are_executed_if_one_is() -> None:
    before = "def f(): return 1\ndef f(): return 2\n"
    assert executed(before, before.replace("1", "10")) == (
        "def f():\n    return 10\n\ndef f():\n    return 2"
    )


def test_a_name_that_is_gone_is_told() -> None:
    part = edits.what_changed(b"a = 1\nb = 2\n", b"b = 2\n", types.ModuleType("m"))
    assert part is not None
    assert part.gone == {"a"}
    assert part.tree.body == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("if True:\n    a = 1\n", "if True:\n    a = 2\n"),
        ("for i in range(3): pass\n", "for i in range(4): pass\n"),
        ("print('x')\n", "print('y')\n"),
        ("a = 1\na += 1\n", "a = 2\na += 1\n"),
        ("K = 1\nif K:\n    L = 2\n", "K = 0\nif K:\n    L = 2\n"),
        ("f = 1\nregister(f)\n", "f = 2\nregister(f)\n"),
        ("a = 1\n", "from os import *\na = 1\n"),
        ("a = 1\ndel a\n", "a = 2\ndel a\n"),
    ],
)
def test_statements_that_nothing_can_be_said_of_are_executed_with_all_the_rest(
    before: str, after: str
) -> None:
    assert executed(before, after) is None


def test_a_changed_docstring_executes_nothing() -> None:
    assert executed("'Old.'\nS = {}\n", "'New.'\nS = {}\n") == '"""New."""'
    assert edits.docstring(b"'New.'\nS = {}\n") == "New."


def test_future_imports_hold_for_what_is_executed() -> None:
    before = "from __future__ import annotations\ndef f(a: X): return 1\n"
    assert executed(before, before.replace("1", "2")) == (
        "from __future__ import annotations\n\ndef f(a: X):\n    return 2"
    )


def test_an_import_that_gives_something_else_now_is_executed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = types.ModuleType("kf_other")
    other.K, other.same = 2, "same"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kf_other", other)
    text = "from kf_other import K\nfrom kf_other import same\nL = K\n"
    module = types.ModuleType("kf_edited")
    module.K, module.same, module.L = 1, "same", 1  # type: ignore[attr-defined]
    assert executed(text, text, module) == "from kf_other import K\nL = K"
    module.K = 2  # type: ignore[attr-defined]
    assert executed(text, text, module) == ""


def test_an_import_that_fails_is_executed_and_says_so() -> None:
    text = "from kf_no_such_module import K\n"
    assert executed(text, text) == "from kf_no_such_module import K"
