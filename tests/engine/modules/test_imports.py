"""An engine imports what the client can: the path, and whose modules the client could import."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.engine.modules import imports
from kernelfleet.engine.modules.shipped import ClientsModules
from kernelfleet.wire.objects import references
from tests.engine.modules.forgetting import forgetting_modules

PYTHON = list(sys.version_info[:2])


@pytest.fixture(autouse=True)
def an_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has been told nothing yet; afterwards as it was."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(imports._Known, "texts", type(imports._Known.texts)())
    monkeypatch.setattr(imports._Known, "name", "")
    monkeypatch.setattr(imports._Known, "client", None)
    monkeypatch.setattr(imports._Known, "added", [])
    monkeypatch.setattr(references.Shared, "can_import", None)
    with forgetting_modules():
        yield


def text(**said: Any) -> str:
    return json.dumps(
        {"python": PYTHON, "before": [], "after": [], "packages": {}, "modules": {}, **said}
    )


def tell(name: str, **said: Any) -> None:
    assert imports.learn(name, text(**said))
    imports.make_current(name)


def test_a_text_is_asked_for_until_it_has_come() -> None:
    assert not imports.learn("a", None)
    assert imports.learn("a", text())
    assert imports.learn("a", None)


def test_of_many_texts_the_ones_used_last_are_kept() -> None:
    for number in range(imports.MAX_TEXTS):
        tell(f"t{number}")
    imports.make_current("t0")
    tell("one more")
    assert imports.learn("t0", None)
    assert not imports.learn("t1", None)


def test_folders_are_put_where_the_client_has_them(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "last").mkdir()
    (tmp_path / "first" / "kf_first.py").write_text("K = 1\n")
    own = sys.path[imports._first_own()]
    tell("a", before=[str(tmp_path / "first")], after=[str(tmp_path / "last"), "/not/here"])
    assert sys.path.index(str(tmp_path / "first")) == sys.path.index(own) - 1
    assert sys.path[-1] == str(tmp_path / "last")
    assert importlib.import_module("kf_first").K == 1


def test_what_another_client_had_is_taken_away(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    before = list(sys.path)
    tell("a", before=[str(tmp_path / "a")])
    tell("b", before=[str(tmp_path / "b")], after=[before[0]])
    assert str(tmp_path / "a") not in sys.path
    assert str(tmp_path / "b") in sys.path
    tell("none")
    assert sys.path == before


def test_what_is_installed_for_another_python_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "site-packages").mkdir()
    tell("a", after=[str(tmp_path / "site-packages")], python=[3, 5])
    assert str(tmp_path / "site-packages") not in sys.path
    tell("b", after=[str(tmp_path / "site-packages")])
    assert sys.path[-1] == str(tmp_path / "site-packages")


def test_it_is_current_until_another_client_calls_or_something_is_loaded(tmp_path: Path) -> None:
    tell("a", before=[str(tmp_path)])
    assert imports.is_current("a")
    assert not imports.is_current("b")
    (tmp_path / "kf_loaded.py").write_text("")
    importlib.import_module("kf_loaded")
    assert not imports.is_current("a")
    imports.make_current("a")
    assert imports.is_current("a")


def test_without_a_client_everything_is_taken_for_importable() -> None:
    assert imports.can_import(__name__, sys.modules[__name__])


def test_what_the_client_can_import_is_known(tmp_path: Path) -> None:
    for place in ("told/kf_told.py", "path/kf_on_path.py", "path/kf_package/__init__.py",
                  "path/kf_package/sub.py", "edit/kf_edit.py", "mine/kf_mine.py"):  # fmt: skip
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("")
    sys.path[:0] = [str(tmp_path / folder) for folder in ("told", "path", "edit", "mine")]
    tell(
        "a",
        before=[str(tmp_path / "path")],
        packages={"kf_edit": str(tmp_path / "edit" / "kf_edit.py")},
        modules={"kf_told": [str(tmp_path / "told" / "kf_told.py"), 0, 0, ""]},
    )
    names = ["kf_told", "kf_on_path", "kf_package", "kf_package.sub", "kf_edit", "json", "kf_mine"]
    can = {name: imports.can_import(name, importlib.import_module(name)) for name in names}
    assert can == {**dict.fromkeys(names, True), "kf_mine": False}
    assert not references.is_importable(sys.modules["kf_mine"])
    assert references.is_importable(sys.modules["kf_told"])


def test_the_finder_serves_the_client_whose_call_it_is(tmp_path: Path) -> None:
    (tmp_path / "kf_a.py").write_text("")
    tell("a", modules={"kf_a": [str(tmp_path / "kf_a.py"), 0, 0, ""]})
    assert ClientsModules.find_spec("kf_a") is not None
    tell("b")
    assert ClientsModules.find_spec("kf_a") is None
    imports.make_current("a")
    assert ClientsModules.find_spec("kf_a") is not None


def test_when_nothing_has_changed_it_costs_next_to_nothing() -> None:
    tell("a", modules={f"kf_m{i}": [f"/x/kf_m{i}.py", 0, 0, ""] for i in range(300)})
    best = 1.0
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(100):
            imports.is_current("a")
        best = min(best, (time.perf_counter() - start) / 100)
    assert best < 5e-6
