"""A module is executed again and stays itself: what was held before says what the source says."""

from __future__ import annotations

import builtins
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.engine.modules.in_place import reload_in_place


class Edited:
    """A module in a file, that is edited and executed again."""

    def __init__(self, file: Path, source: str) -> None:
        self.file, self.source = file, source
        file.write_text(source)
        __import__(file.stem)
        self.module: Any = sys.modules[file.stem]

    def edit(self, old: str, new: str, *, whole: bool = False) -> None:
        """Change the text, and execute what must be; with ``whole`` all of it."""
        assert old in self.source
        before = self.source.encode()
        self.source = self.source.replace(old, new)
        self.file.write_text(self.source)
        reload_in_place(self.module, self.source.encode(), None if whole else before)


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Edited]]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield lambda source: Edited(tmp_path / "kf_edited.py", source)
    for name in set(sys.modules) - before:
        del sys.modules[name]


both = pytest.mark.parametrize("whole", [False, True], ids=["part", "whole"])


@both
def test_functions_and_methods_held_from_before_run_the_new_code(
    edited: Callable[[str], Edited], whole: bool
) -> None:
    it = edited("def f(x=1): return x\nclass C:\n    def m(self): return 1\n")
    f, c, bound = it.module.f, it.module.C(), it.module.C().m
    it.edit("1", "2", whole=whole)
    assert (f(), c.m(), bound()) == (2, 2, 2)
    assert it.module.f is f
    assert it.module.C is type(c)


@both
def test_classes_stay_who_they_are(edited: Callable[[str], Edited], whole: bool) -> None:
    it = edited(
        "import enum, dataclasses\nclass E(Exception): pass\nclass Color(enum.Enum):\n    RED = 1\n"
        "@dataclasses.dataclass\nclass P:\n    x: int\n    def m(self): return 1\n"
        "class Sub(P):\n    def m(self): return super().m() + 100\n"
        "REG = {P: 'p'}\nSINGLE = P(0)\n"
    )
    module = it.module
    red, point, sub = module.Color.RED, module.P(1), module.Sub(2)
    outside = type("Outside", (module.P,), {})(3)
    it.edit("return 1", "return 2", whole=whole)
    assert module.Color.RED is red
    assert isinstance(outside, module.P)
    assert module.P(1) == point
    assert (point.m(), sub.m(), outside.m()) == (2, 102, 2)
    assert module.REG[type(point)] == "p"
    assert type(module.SINGLE) is module.P is type(point)
    with pytest.raises(module.E):
        raise module.E


def test_state_that_the_edit_has_not_touched_is_kept(edited: Callable[[str], Edited]) -> None:
    it = edited(
        "import threading\nSTATE = {}\nMISSING = object()\nLOCK = threading.Lock()\nK = 1\n"
    )
    module = it.module
    module.STATE["filled"] = True
    missing, lock = module.MISSING, module.LOCK
    it.edit("K = 1", "K = 2\ndef added(): return K")
    assert module.STATE == {"filled": True}
    assert module.MISSING is missing
    assert module.LOCK is lock
    assert module.added() == 2


@both
def test_what_decorators_have_wrapped_is_renewed(
    edited: Callable[[str], Edited], whole: bool
) -> None:
    it = edited(
        "import functools\ndef deco(f):\n    @functools.wraps(f)\n"
        "    def wrapper(*a): return f(*a)\n    return wrapper\n"
        "@deco\ndef f(x): return x + 1\n@functools.lru_cache\ndef g(x): return x + 1\n"
    )
    f, g = it.module.f, it.module.g
    assert (f(0), g(0)) == (1, 1)
    it.edit("x + 1", "x + 100", whole=whole)
    assert (f(0), g(0)) == (100, 100)


@both
def test_a_name_that_means_another_function_now_does_not_change_the_first(
    edited: Callable[[str], Edited], whole: bool
) -> None:
    it = edited("def start(): return 'start'\ndef stop(): return 'stop'\nhook = start\n")
    start = it.module.start
    it.edit("hook = start", "hook = stop", whole=whole)
    assert start() == "start"
    assert it.module.hook is it.module.stop


@both
def test_slots_dataclasses_keep_their_instances(
    edited: Callable[[str], Edited], whole: bool
) -> None:
    it = edited(
        "import dataclasses\n@dataclasses.dataclass(slots=True)\nclass P:\n    x: int\n"
        "    def m(self): return 1\n"
    )
    point = it.module.P(1)
    it.edit("return 1", "return 2", whole=whole)
    assert isinstance(point, it.module.P)
    assert point == it.module.P(1)
    assert point.m() == 2


def test_a_name_that_is_gone_is_gone(edited: Callable[[str], Edited]) -> None:
    it = edited("a = 1\nclass C:\n    def m(self): pass\n    def n(self): pass\n")
    kept = it.module.C
    it.edit("a = 1\n", "")
    it.edit("    def n(self): pass\n", "")
    assert not hasattr(it.module, "a")
    assert not hasattr(kept, "n")


def test_lines_of_what_was_not_executed_are_those_of_the_new_text(
    edited: Callable[[str], Edited],
) -> None:
    it = edited(
        "def f():\n    return 1 / 0\nclass C:\n    def m(self):\n        return 1 / 0\nK = 1\n"
    )
    f, c = it.module.f, it.module.C()
    it.edit("def f", "# a line\n# and another\ndef f")
    for call in (f, c.m):
        with pytest.raises(ZeroDivisionError) as raised:
            call()
        assert traceback.extract_tb(raised.tb)[-1].line == "return 1 / 0"


@both
def test_an_error_leaves_the_variables_as_they_were(
    edited: Callable[[str], Edited], whole: bool
) -> None:
    it = edited("a = 1\nb = 2\n")
    with pytest.raises(ZeroDivisionError):
        it.edit("b = 2", "b = 1 / 0", whole=whole)
    assert (it.module.a, it.module.b) == (1, 2)
    assert builtins.__build_class__.__module__ == "builtins"


def test_a_text_that_is_no_python_changes_nothing(edited: Callable[[str], Edited]) -> None:
    it = edited("a = 1\n")
    with pytest.raises(SyntaxError):
        it.edit("a = 1", "a = (")
    assert it.module.a == 1


@both
def test_submodules_stay_attributes_of_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    folder = tmp_path / "kf_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("K = 1\n")
    (folder / "inside.py").write_text("L = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import kf_package.inside  # type: ignore[import-not-found]

    try:
        reload_in_place(kf_package, b"K = 2\n", None if whole else b"K = 1\n")
        assert (kf_package.K, kf_package.inside.L) == (2, 1)
    finally:
        del sys.modules["kf_package.inside"], sys.modules["kf_package"]


def test_class_statements_elsewhere_are_not_touched(edited: Callable[[str], Edited]) -> None:
    it = edited("class C:\n    k = 1\nother = {}\n")
    held = it.module.C
    it.edit(
        "other = {}",
        "other = {'__name__': 'kf_edited'}\nexec('class C: k = 5', other)",
        whole=True,
    )
    assert it.module.C is held
    assert it.module.other["C"] is not held
    assert (held.k, it.module.other["C"].k) == (1, 5)
