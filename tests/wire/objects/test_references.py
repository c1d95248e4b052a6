"""What goes by its name: what another process can import, wherever it lies."""

from __future__ import annotations

import functools
import importlib.util
import io
import json
import os
import sys
import types
import zipfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from kernelfleet.wire.objects import references
from kernelfleet.wire.objects.references import (
    home_of,
    is_importable,
    why_not_importable,
)
from tests.wire.objects.ghosts import Ghosts


class Here:
    class Inner:
        def method(self) -> None:
            """Of a class in a class."""


def function() -> None:
    """Of this module."""


@functools.lru_cache
def cached() -> None:
    """Of this module, and wrapped."""


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder on the path; modules imported from it are forgotten again."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["json", "os.path", "numpy", "cloudpickle", "kernelfleet.errors"])
def test_installed_modules_are_importable(name: str) -> None:
    pytest.importorskip(name)
    assert is_importable(sys.modules[name])


def test_a_module_beside_the_script_is_importable() -> None:
    assert is_importable(sys.modules[__name__])


@pytest.mark.parametrize("name", ["sys", "builtins", "_frozen_importlib", "zipimport", "_socket"])
def test_modules_without_a_python_file_are_importable(name: str) -> None:
    assert is_importable(importlib.import_module(name))


def test_namespace_packages_and_zip_files_are_importable(names: Path) -> None:
    (names / "kf_space").mkdir()
    (names / "kf_space" / "inside.py").write_text("")
    with zipfile.ZipFile(names / "kf.zip", "w") as archive:
        archive.writestr("kf_zipped.py", "def f(): pass")
    sys.path.insert(0, str(names / "kf.zip"))
    for name in ("kf_space", "kf_space.inside", "kf_zipped"):
        assert is_importable(importlib.import_module(name)), name


def test_a_module_that_was_loaded_from_a_file_by_hand_is_importable(names: Path) -> None:
    (names / "elsewhere").mkdir()
    file = names / "elsewhere" / "kf_by_hand.py"
    file.write_text("")
    spec = importlib.util.spec_from_file_location("kf_by_hand", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    assert not is_importable(module)
    sys.modules["kf_by_hand"] = module
    spec.loader.exec_module(module)
    assert is_importable(module)


def test_main_is_not_importable() -> None:
    assert not is_importable(sys.modules["__main__"])
    other = types.ModuleType("__mp_main__")
    other.__spec__ = ModuleSpec("__mp_main__", None, origin="x.py")
    assert not is_importable(other)


def test_a_module_made_at_run_time_is_not_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("kf_made_here")
    monkeypatch.setitem(sys.modules, "kf_made_here", module)
    assert not is_importable(module)
    module.__spec__ = ModuleSpec("kf_made_here", None)
    assert not is_importable(module)
    assert why_not_importable(module) == "it was made at run time"


def test_a_module_that_has_lost_its_name_is_not_importable(names: Path) -> None:
    (names / "kf_replaced.py").write_text("")
    first = importlib.import_module("kf_replaced")
    del sys.modules["kf_replaced"]
    second = importlib.import_module("kf_replaced")
    assert not is_importable(first)
    assert is_importable(second)


def test_a_module_that_only_this_process_can_load_is_not_importable(
    names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Ghosts("def f(): return 1")])
    ghost = importlib.import_module("kf_ghost")
    assert not is_importable(ghost)
    assert why_not_importable(ghost) == "only this process has its loader, Ghosts"
    assert home_of(ghost.f) is None
    assert why_not_importable(json) == ""


def test_what_the_user_has_named_is_not_taken_for_importable() -> None:
    cloudpickle.register_pickle_by_value(json)
    try:
        assert home_of(json.dumps) is None
        assert home_of(json.JSONDecoder) is None
    finally:
        cloudpickle.unregister_pickle_by_value(json)
    assert home_of(json.dumps) is json


def test_on_an_engine_the_client_must_be_able_to_import_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, object]] = []

    def can_import(name: str, module: types.ModuleType) -> bool:
        asked.append((name, module))
        return name != "json"

    monkeypatch.setattr(references.Shared, "can_import", staticmethod(can_import))
    assert home_of(json.dumps) is None
    assert is_importable(os)
    assert asked[0] == ("json", json)


@pytest.mark.parametrize(
    "obj",
    [function, cached, Here, Here.Inner, Here.Inner.method, json.dumps, os.getcwd, io.BytesIO],
)
def test_the_home_of_a_thing_is_where_its_name_finds_it(obj: Any) -> None:
    assert home_of(obj) is sys.modules[obj.__module__]


def test_what_its_name_does_not_find_has_no_home() -> None:
    def local() -> None:
        """Made in a function."""

    class Lost:
        pass

    Lost.__qualname__ = "Lost"
    stranger = type("Stranger", (), {"__module__": "no_such_module"})
    nameless = type("Nameless", (), {"__module__": None})
    for thing in (local, lambda: None, Lost, stranger, nameless, 5, functools.partial(function)):
        assert home_of(thing) is None


def test_a_name_that_stands_for_something_else_now_is_no_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = function
    monkeypatch.setitem(globals(), "function", lambda: None)
    assert home_of(before) is None
