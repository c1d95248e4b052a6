"""Modules of a client that are found by its files, or made of what it has sent."""

from __future__ import annotations

import base64
import importlib
import importlib.resources
import inspect
import io
import linecache
import os
import pkgutil
import sys
import traceback
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.engine.modules.current import ClientModule
from kernelfleet.engine.modules.shipped import ClientsModules, Files
from kernelfleet.wire.objects.loads import Loads
from tests.engine.modules.forgetting import forgetting_modules


def sent(files: dict[str, str]) -> Files:
    """Files as a client sends them."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for index, text in enumerate(files.values()):
            archive.writestr(str(index), text)
    where = {path: str(index) for index, path in enumerate(files)}
    return Files(where, base64.b64encode(stream.getvalue()).decode())


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    with forgetting_modules():
        yield
    ClientsModules.serve({}, {}, Files({}, ""))
    sys.meta_path.remove(ClientsModules)
    for name in [name for name in linecache.cache if name.startswith("/client/")]:
        del linecache.cache[name]


SHIPPED = {
    "/client/kf_single.py": "# -*- coding: utf-8 -*-\ndef f(): return 1 / 0  # é\n",
    "/client/kf_pkg/__init__.py": "from . import lazy\nfrom .sub.deep import DEEP\n",
    "/client/kf_pkg/lazy.py": "def f(): return 'lazy'\n",
    "/client/kf_pkg/never.py": "NEVER = 'loaded by the client'\n",
    "/client/kf_pkg/sub/__init__.py": "",
    "/client/kf_pkg/sub/deep.py": "DEEP = 5\n",
    "/client/kf_pkg/data/a.txt": "some data",
    "/client/kf_space/inside.py": "K = 7\n",
}


@pytest.fixture
def shipped() -> None:
    loaded = {
        "kf_single": "/client/kf_single.py",
        "kf_pkg": "/client/kf_pkg/__init__.py",
        "kf_pkg.lazy": "/client/kf_pkg/lazy.py",
        "kf_space.inside": "/client/kf_space/inside.py",
    }
    modules = {name: ClientModule(file, 5, 5, "") for name, file in loaded.items()}
    ClientsModules.serve(modules, {}, sent(SHIPPED))


def load(name: str) -> Any:
    return importlib.import_module(name)


@pytest.mark.usefixtures("shipped")
class TestWithoutTheFile:
    def test_a_module_is_made_of_what_was_sent(self) -> None:
        module = load("kf_single")
        assert module.__file__ == "/client/kf_single.py"
        assert inspect.getsource(module.f) == "def f(): return 1 / 0  # é\n"
        assert Loads.seen["kf_single"].mtime_ns == 5
        with pytest.raises(ZeroDivisionError) as raised:
            module.f()
        assert traceback.extract_tb(raised.tb)[-1].line == "def f(): return 1 / 0  # é"

    def test_a_package_has_its_submodules_those_too_that_the_client_has_not_loaded(self) -> None:
        package = load("kf_pkg")
        assert package.lazy.f() == "lazy"
        assert package.DEEP == 5
        assert load("kf_pkg.never").NEVER == "loaded by the client"
        assert load("kf_pkg.sub").__path__ == ["/client/kf_pkg/sub"]

    def test_a_package_has_its_data(self) -> None:
        load("kf_pkg")
        assert pkgutil.get_data("kf_pkg", "data/a.txt") == b"some data"
        files = importlib.resources.files("kf_pkg")
        assert files.joinpath("data", "a.txt").read_text() == "some data"
        assert (files / "data").is_dir()
        assert {each.name for each in files.iterdir()} >= {"data", "lazy.py", "sub"}
        with (files / "data" / "a.txt").open() as stream:
            assert stream.read() == "some data"
        with pytest.raises(FileNotFoundError):
            (files / "nothing.txt").read_bytes()

    def test_a_namespace_package_has_what_the_client_has_in_it(self) -> None:
        assert load("kf_space.inside").K == 7
        assert load("kf_space").__path__ == ["/client/kf_space"]

    def test_a_module_is_reloaded_from_what_was_sent_last(self) -> None:
        module = load("kf_single")
        module.f = None
        assert importlib.reload(module).f is not None

    def test_nothing_else_is_found(self) -> None:
        for name in ("kf_nothing", "kf_pkg.nothing", "kf_spa"):
            with pytest.raises(ModuleNotFoundError, match=name):
                load(name)


def test_where_the_file_is_here_it_is_loaded_from_there(tmp_path: Path) -> None:
    (tmp_path / "odd-name.py").write_text("def f(): return 1\n")
    told = ClientModule(str(tmp_path / "odd-name.py"), 1, 1, "")
    ClientsModules.serve({"kf_by_hand": told}, {}, Files({}, ""))
    assert load("kf_by_hand").f() == 1
    assert load("kf_by_hand").__file__ == told.file


def test_packages_that_an_editable_install_finds_are_found(tmp_path: Path) -> None:
    (tmp_path / "src" / "kf_edit").mkdir(parents=True)
    (tmp_path / "src" / "kf_edit" / "__init__.py").write_text("from . import inside\n")
    (tmp_path / "src" / "kf_edit" / "inside.py").write_text("K = 1\n")
    (tmp_path / "src" / "kf_one.py").write_text("K = 2\n")
    packages = {
        "kf_edit": str(tmp_path / "src" / "kf_edit"), "kf_one": str(tmp_path / "src" / "kf_one.py")
    }  # fmt: skip
    ClientsModules.serve({}, packages, Files({}, ""))
    assert load("kf_edit").inside.K == 1
    assert load("kf_one").K == 2


def test_what_another_finder_finds_is_found_there(tmp_path: Path) -> None:
    ClientsModules.serve({"json": ClientModule("/client/json.py", 1, 1, "")}, {}, Files({}, ""))
    assert load("json").__file__ == os.path.abspath(str(sys.modules["json"].__file__))


def test_it_is_the_last_finder_and_there_once() -> None:
    for _ in range(3):
        ClientsModules.serve({}, {}, Files({}, ""))
    assert sys.meta_path[-1] is ClientsModules
    assert sys.meta_path.count(ClientsModules) == 1
