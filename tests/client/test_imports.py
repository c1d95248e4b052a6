"""What this process can import, as it is told to engines."""

from __future__ import annotations

import base64
import importlib
import io
import json
import os
import sys
import time
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.client import imports
from kernelfleet.wire.objects.loads import OWN_FOLDERS, Loads, digest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(imports._Kept, "state", ())
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]
        Loads.seen.pop(name, None)


def said(**options: bool) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(imports.told(**options).text)
    return described


def test_the_text_is_the_same_object_until_something_changes(folder: Path) -> None:
    first = imports.told()
    assert imports.told() is first
    (folder / "kf_new.py").write_text("")
    importlib.import_module("kf_new")
    second = imports.told()
    assert second is not first
    assert second.id != first.id
    sys.path.append("/somewhere/else")
    assert imports.told().id != second.id


def test_equal_texts_have_the_same_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = imports.told()
    monkeypatch.setattr(imports._Kept, "state", ())
    second = imports.told()
    assert second is not first
    assert second.id == first.id


def test_the_path_is_told_without_this_pythons_own_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [entry for entry in sys.path if os.path.realpath(entry) in OWN_FOLDERS]
    monkeypatch.setattr(sys, "path", ["", "first", *own, "/last"])
    monkeypatch.chdir(folder)
    text = said()
    assert text["before"] == [os.path.join(folder, ""), str(folder / "first")]
    assert text["after"] == ["/last"]
    assert text["python"] == list(sys.version_info[:2])


def test_a_folder_that_was_deleted_is_no_obstacle(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert "" not in said()["before"]


def test_local_modules_are_told_as_they_were_loaded(folder: Path) -> None:
    file = folder / "kf_told.py"
    file.write_text("a = 1\n")
    os.utime(file, (1000, 1000))
    importlib.import_module("kf_told")
    expected = [str(file), 1000 * 10**9, 6, digest(b"a = 1\n")]
    assert said()["modules"]["kf_told"] == expected
    assert "json" not in said()["modules"]
    file.write_text("edited, and not loaded again")
    assert said()["modules"]["kf_told"] == expected


def test_what_an_editable_install_finds_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder = types.ModuleType("__editable___kf_finder")
    finder.MAPPING = {"kf_edit": str(folder / "src" / "kf_edit")}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, finder.__name__, finder)
    kind = type(
        "_EditableFinder", (), {"__module__": finder.__name__, "find_spec": lambda *_: None}
    )
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, kind])
    assert said()["packages"]["kf_edit"] == str(folder / "src" / "kf_edit")


def test_with_files_modules_travel_and_all_of_their_packages(folder: Path) -> None:
    package = folder / "kf_package"
    (package / "__pycache__").mkdir(parents=True)
    (package / "sub").mkdir()
    for name, content in {
        "__init__.py": "", "lazy.py": "b = 2", "data.txt": "data", "sub/__init__.py": "",
        "__pycache__/x.pyc": "no", ".hidden": "no",
    }.items():  # fmt: skip
        (package / name).write_text(content)
    (package / "huge.bin").write_bytes(bytes(imports.MAX_FILE_BYTES + 1))
    (folder / "kf_single.py").write_text("c = 3")
    (folder / "kf_beside.py").write_text("not imported")
    importlib.import_module("kf_package.sub")
    importlib.import_module("kf_single")
    assert "files" not in said()
    text = said(with_files=True)
    files = {os.path.relpath(file, folder): at for file, at in text["files"].items()}
    ours = {name for name in files if not name.startswith("..")}
    assert ours == {
        "kf_single.py", "kf_package/__init__.py", "kf_package/lazy.py", "kf_package/data.txt",
        "kf_package/sub/__init__.py",
    }  # fmt: skip
    archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(text["archive"])))
    assert archive.read(files["kf_package/data.txt"]) == b"data"


def test_what_travels_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kf_one", "kf_two"):
        (folder / f"{name}.py").write_text("#" * 600)
        importlib.import_module(name)
    monkeypatch.setattr(imports, "MAX_ARCHIVE_BYTES", 1000)
    assert len(said(with_files=True)["files"]) <= 1


def test_when_nothing_has_changed_it_costs_next_to_nothing(folder: Path) -> None:
    for number in range(300):
        (folder / f"kf_m{number}.py").write_text("")
        importlib.import_module(f"kf_m{number}")
    imports.told()
    best = 1.0
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(100):
            imports.told()
        best = min(best, (time.perf_counter() - start) / 100)
    assert best < 10e-6
