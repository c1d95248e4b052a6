"""Modules older than the client's are renewed before a call, in the right order; others are not."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.engine.modules import current
from kernelfleet.engine.modules.current import ClientModule
from kernelfleet.engine.modules.shipped import ClientsModules, Files
from kernelfleet.wire.objects.loads import Loads, digest
from tests.engine.modules.test_shipped import sent

NOTHING = Files({}, "")


class Modules:
    """Files that are edited, as the client has them and as this engine has loaded them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: dict[str, ClientModule] = {}

    def write(self, name: str, text: str, seconds: int) -> ClientModule:
        """Edit a file, and load it in the client."""
        file = self.folder.joinpath(*name.split(".")).with_suffix(".py")
        if name.endswith("_pkg"):
            file = self.folder / name / "__init__.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        os.utime(file, (seconds, seconds))
        data = text.encode()
        told = ClientModule(str(file), seconds * 10**9, len(data), digest(data))
        self.told[name] = told
        return told

    def load(self, name: str) -> Any:
        """Load it on this engine."""
        return importlib.import_module(name)

    def renew(self, files: Files = NOTHING) -> None:
        """Before a call of the client."""
        current.reload_what_is_older(self.told, files)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(Loads, "listener", staticmethod(current.keep_text))
    monkeypatch.setattr(current._Kept, "texts", {})
    monkeypatch.setattr(current._Kept, "failed", {})
    before = set(sys.modules)
    yield Modules(tmp_path)
    for name in set(sys.modules) - before:
        del sys.modules[name]
        Loads.seen.pop(name, None)


def test_an_older_module_is_renewed_and_keeps_its_state(modules: Modules) -> None:
    modules.write("kf_am", "STATE = {}\ndef f(): return 1\n", 1000)
    am = modules.load("kf_am")
    f = am.f
    am.STATE["a"] = 1
    modules.write("kf_am", "STATE = {}\ndef f(): return 100\n", 2000)
    modules.renew()
    assert (f(), am.STATE) == (100, {"a": 1})
    counter = Loads.counter
    modules.renew()
    assert Loads.counter == counter


def test_a_module_that_is_not_loaded_here_is_not_loaded_for_that(modules: Modules) -> None:
    modules.write("kf_am", "1 / 0\n", 1000)
    modules.renew()
    assert "kf_am" not in sys.modules


def test_of_two_clients_the_newer_one_wins_and_nothing_goes_back_and_forth(
    modules: Modules,
) -> None:
    old = modules.write("kf_am", "K = 1\n", 1000)
    am = modules.load("kf_am")
    new = modules.write("kf_am", "K = 2\n", 2000)
    seen = []
    for told in (old, new, old, new):
        current.reload_what_is_older({"kf_am": told}, NOTHING)
        seen.append(am.K)
    assert seen == [1, 2, 2, 2]


def test_an_older_file_that_was_put_back_counts(modules: Modules) -> None:
    """``git checkout``, ``cp -p``: an earlier time, and the text that the client has."""
    modules.write("kf_am", "K = 2\n", 2000)
    am = modules.load("kf_am")
    modules.write("kf_am", "K = 1\n", 1000)
    modules.renew()
    assert am.K == 1


def test_a_file_of_the_same_text_and_another_time_is_left_alone(modules: Modules) -> None:
    """Another checkout, on another host: times differ and mean nothing."""
    modules.write("kf_am", "STATE = object()\n", 1000)
    am = modules.load("kf_am")
    state = am.STATE
    told = modules.told["kf_am"]
    for seconds in (500, 3000):
        modules.told["kf_am"] = told._replace(mtime_ns=seconds * 10**9)
        modules.renew()
        assert am.STATE is state


def test_an_edit_that_the_client_has_not_loaded_does_not_count(modules: Modules) -> None:
    told = modules.write("kf_am", "K = 1\n", 1000)
    am = modules.load("kf_am")
    modules.write("kf_am", "K = 2\n", 2000)
    modules.told["kf_am"] = told
    modules.renew()
    assert am.K == 1


def test_what_imports_from_a_renewed_module_follows(modules: Modules) -> None:
    modules.write("kf_base", "K = 1\ndef k(): return K\n", 1000)
    modules.write("kf_middle", "from kf_base import (\n    K,\n    k,\n)\nL = K * 10\n", 1000)
    modules.write("kf_top", "import kf_middle\nfrom kf_middle import L\nCACHE = {}\n", 1000)
    top = modules.load("kf_top")
    middle = sys.modules["kf_middle"]
    top.CACHE["a"] = 1
    modules.write("kf_base", "K = 2\ndef k(): return K\n", 2000)
    modules.renew()
    assert (middle.K, middle.L, middle.k(), top.L) == (2, 20, 2, 20)
    assert top.CACHE == {"a": 1}


def test_what_others_import_is_renewed_first_in_packages_too(modules: Modules) -> None:
    modules.write("kf_pkg", "from .low import K\nfrom . import low\nL = K\n", 1000)
    modules.write("kf_pkg.low", "K = 1\n", 1000)
    package = modules.load("kf_pkg")
    modules.write("kf_pkg", "from .low import K\nfrom . import low\nL = K + 100\n", 2000)
    modules.write("kf_pkg.low", "K = 2\n", 2000)
    modules.renew()
    assert (package.L, package.low.K, package.K) == (102, 2, 2)


def test_modules_that_import_each_other_are_renewed_once(modules: Modules) -> None:
    modules.write("kf_a", "import kf_b\nRUNS = globals().get('RUNS', 0) + 1\nK = 1\n", 1000)
    modules.write("kf_b", "import kf_a\nK = 1\n", 1000)
    a = modules.load("kf_a")
    modules.write("kf_a", "import kf_b\nRUNS = globals().get('RUNS', 0) + 1\nK = 2\n", 2000)
    modules.write("kf_b", "import kf_a\nK = 2\n", 2000)
    modules.renew()
    assert (a.K, a.kf_b.K, a.RUNS) == (2, 2, 1)


def test_a_version_that_fails_is_told_once_and_the_older_one_stays(modules: Modules) -> None:
    modules.write("kf_am", "K = 1\n", 1000)
    am = modules.load("kf_am")
    modules.write("kf_am", "K = 1 / 0\n", 2000)
    with pytest.raises(ZeroDivisionError) as raised:
        modules.renew()
    assert "'kf_am' up to date" in raised.value.__notes__[0]
    modules.renew()
    assert am.K == 1
    modules.write("kf_am", "K = 3\n", 3000)
    modules.renew()
    assert am.K == 3


def test_a_shipped_module_is_renewed_from_what_was_sent() -> None:
    def client(text: str, seconds: int) -> tuple[dict[str, ClientModule], Files]:
        data = text.encode()
        told = ClientModule("/client/kf_sent.py", seconds, len(data), digest(data))
        files = sent({"/client/kf_sent.py": text})
        ClientsModules.serve({"kf_sent": told}, {}, files)
        return {"kf_sent": told}, files

    try:
        client("S = {}\ndef f(): return 1\n", 1)
        module: Any = importlib.import_module("kf_sent")
        f, state = module.f, module.S
        current.reload_what_is_older(*client("# new\nS = {}\ndef f(): return 2\n", 2))
        assert f() == 2
        assert module.S is state
        assert module.__loader__.get_source("kf_sent").startswith("# new")
        current.reload_what_is_older(*client("S = {}\ndef f(): return 3\n", 1))  # another host
        assert f() == 3
    finally:
        sys.meta_path.remove(ClientsModules)
        sys.modules.pop("kf_sent", None)
        Loads.seen.pop("kf_sent", None)


def test_on_another_host_the_clients_text_counts_whatever_the_times(modules: Modules) -> None:
    modules.write("kf_am", "K = 'ours'\n", 5000)
    am = modules.load("kf_am")
    told = modules.told["kf_am"]
    text = "K = 'the client'\n"
    told = told._replace(mtime_ns=1, size=len(text), digest=digest(text.encode()))
    current.reload_what_is_older({"kf_am": told}, sent({told.file: text}))
    assert am.K == "the client"
