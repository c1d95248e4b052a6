"""What a module's file was when it was loaded, whatever has become of it since."""

from __future__ import annotations

import importlib
import inspect
import json
import linecache
import os
import pkgutil
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.wire.objects import loads
from kernelfleet.wire.objects.loads import Loads, Version


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """On the path; what is imported from it is forgotten again."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]
        Loads.seen.pop(name, None)


def write(file: Path, text: str, mtime: int) -> Version:
    file.write_text(text)
    os.utime(file, (mtime, mtime))
    return Version(str(file), mtime * 10**9, len(text))


def test_a_load_is_noted_with_what_the_file_is(folder: Path) -> None:
    version = write(folder / "kf_loaded.py", "a = 1\n", 1000)
    counter = Loads.counter
    module = importlib.import_module("kf_loaded")
    assert Loads.seen["kf_loaded"] == version
    assert Loads.counter == counter + 1
    newer = write(folder / "kf_loaded.py", "a = 22\n", 2000)
    assert Loads.seen["kf_loaded"] == version
    importlib.reload(module)
    assert Loads.seen["kf_loaded"] == newer


def test_asking_for_code_is_no_load(folder: Path) -> None:
    write(folder / "kf_asked.py", "a = 1\n", 1000)
    counter = Loads.counter
    assert runpy.run_module("kf_asked")["a"] == 1
    loader = pkgutil.get_loader("kf_asked") if sys.version_info < (3, 12) else None
    if loader is not None:
        assert loader.get_code("kf_asked") is not None  # type: ignore[attr-defined]
    assert "kf_asked" not in Loads.seen
    assert Loads.counter == counter


def test_a_load_that_fails_shows_no_frame_of_ours(folder: Path) -> None:
    write(folder / "kf_broken.py", "1 / 0\n", 1000)
    with pytest.raises(ZeroDivisionError) as raised:
        importlib.import_module("kf_broken")
    files = [str(entry.path) for entry in raised.traceback]
    assert str(loads.__file__) not in files


def test_a_reload_that_does_not_compile_is_taken_back(folder: Path) -> None:
    version = write(folder / "kf_bad.py", "a = 1\n", 1000)
    module = importlib.import_module("kf_bad")
    write(folder / "kf_bad.py", "a = (\n", 2000)
    with pytest.raises(SyntaxError):
        importlib.reload(module)
    loads.withdraw_failed()
    assert Loads.seen["kf_bad"] == version
    good = write(folder / "kf_bad.py", "a = 3\n", 3000)
    importlib.reload(module)
    loads.withdraw_failed()
    assert Loads.seen["kf_bad"] == good


def test_the_listener_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, Version]] = []
    monkeypatch.setattr(Loads, "listener", staticmethod(lambda *note: told.append(note)))
    version = write(folder / "kf_told.py", "", 1000)
    importlib.import_module("kf_told")
    assert told == [("kf_told", version)]


def test_lines_of_a_reloaded_module_are_read_anew(folder: Path) -> None:
    version = write(folder / "kf_lines.py", "def f(): return 1\n", 1000)
    module: Any = importlib.import_module("kf_lines")
    assert linecache.getline(version.file, 1) == "def f(): return 1\n"
    write(folder / "kf_lines.py", "# new\ndef f(): return 2\n", 2000)
    importlib.reload(module)
    assert inspect.getsource(module.f) == "def f(): return 2\n"


def test_local_is_what_is_neither_installed_nor_of_the_standard_library() -> None:
    assert loads.local_file(__name__, sys.modules[__name__]) == os.path.abspath(__file__)
    for name in ("json", "pytest", "kernelfleet.wire.objects.loads", "sys", "__main__"):
        assert loads.local_file(name, sys.modules[name]) is None, name


@pytest.mark.parametrize("folder_name", ["site-packages", "dist-packages"])
def test_what_is_installed_in_another_environment_is_not_local(
    tmp_path: Path, folder_name: str
) -> None:
    assert not loads.is_local(str(tmp_path / "lib" / folder_name / "x.py"))
    assert loads.is_local(str(tmp_path / "lib" / "x.py"))


def test_a_module_loaded_before_has_the_version_its_file_has_now(folder: Path) -> None:
    version = write(folder / "kf_before.py", "", 1000)
    importlib.import_module("kf_before")
    del Loads.seen["kf_before"]
    assert loads.version_of("kf_before", version.file) == version
    write(folder / "kf_before.py", "longer\n", 2000)
    assert loads.version_of("kf_before", version.file) == version
    assert loads.version_of("kf_gone", str(folder / "kf_gone.py")) is None


def test_a_digest_names_a_content_as_long_as_it_is_there(tmp_path: Path) -> None:
    version = write(tmp_path / "a.py", "a = 1\n", 1000)
    other = write(tmp_path / "b.py", "a = 1\n", 2000)
    assert loads.digest_of(version) == loads.digest_of(other) == loads.digest(b"a = 1\n")
    write(tmp_path / "c.py", "a = 1\n", 3000)
    gone = Version(str(tmp_path / "c.py"), 5, 5)
    assert loads.digest_of(gone) == ""
    assert loads.read(gone) is None
    assert loads.status(str(tmp_path / "nothing.py")) is None


def test_watching_again_changes_nothing() -> None:
    from importlib.machinery import SourceFileLoader

    before = SourceFileLoader.path_stats
    loads.watch()
    assert SourceFileLoader.path_stats is before
    stats = SourceFileLoader("json", str(json.__file__)).path_stats(str(json.__file__))
    assert stats["size"] == os.path.getsize(str(json.__file__))
