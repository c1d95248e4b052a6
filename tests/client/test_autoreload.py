"""What IPython's ``%autoreload`` patches without loading it is noted like a load."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from kernelfleet.client import autoreload
from kernelfleet.wire.objects import loads
from kernelfleet.wire.objects.loads import Loads

MODULE = "IPython.extensions.deduperreload.deduperreload"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A shell with ``%autoreload 2``, and a module ``kf_auto`` that it has imported."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "kf_auto.py").write_text("def f(): return 1\n")
    monkeypatch.setattr(autoreload._Watched, "reloader", None)
    shell: Any = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "autoreload")
    pytest.importorskip(MODULE)
    reloader = sys.modules[MODULE].DeduperReloader
    monkeypatch.setattr(reloader, "maybe_reload_module", reloader.maybe_reload_module)
    shell.run_line_magic("autoreload", "2")
    shell.run_cell("import kf_auto")
    yield shell
    shell.run_line_magic("autoreload", "0")
    shell.run_line_magic("unload_ext", "autoreload")
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()
    sys.modules.pop("kf_auto", None)
    Loads.seen.pop("kf_auto", None)
    Loads.unproven.clear()


def edit(folder: Path, text: str, seconds: int, nanoseconds: int = 0) -> int:
    file = folder / "kf_auto.py"
    now = (file.stat().st_mtime_ns // 10**9 + seconds) * 10**9 + nanoseconds
    file.write_text(text)
    os.utime(file, ns=(now, now))
    return now


def test_an_edit_that_is_patched_in_is_noted(shell: Any, tmp_path: Path) -> None:
    autoreload.watch()
    mtime = edit(tmp_path, "def f(): return 100\n", 10)
    assert shell.run_cell("kf_auto.f()").result == 100
    assert Loads.seen["kf_auto"].mtime_ns == mtime


@pytest.mark.parametrize("nanoseconds", [0, *range(314_190_336, 314_190_336 + 4000, 500)])
def test_what_was_patched_in_before_is_noted_too(
    shell: Any, tmp_path: Path, nanoseconds: int
) -> None:
    """Also where the float that IPython compares is not the nanoseconds divided by 1e9."""
    edit(tmp_path, "def f(): return 10\n", 10)
    assert shell.run_cell("kf_auto.f()").result == 10  # the first edit is loaded
    before = Loads.seen["kf_auto"]
    mtime = edit(tmp_path, "def f(): return 100\n", 20, nanoseconds)
    assert shell.run_cell("kf_auto.f()").result == 100
    assert Loads.seen["kf_auto"] == before
    autoreload.watch()
    assert Loads.seen["kf_auto"].mtime_ns == mtime


def test_an_edit_that_fails_is_not_noted(shell: Any, tmp_path: Path) -> None:
    autoreload.watch()
    before = Loads.seen["kf_auto"]
    edit(tmp_path, "def f(: return 100\n", 10)
    shell.run_cell("kf_auto.f()")
    loads.withdraw_failed()
    assert Loads.seen["kf_auto"].mtime_ns == before.mtime_ns


def test_it_is_watched_once(shell: Any) -> None:
    autoreload.watch()
    reloader = sys.modules[MODULE].DeduperReloader
    watched = reloader.maybe_reload_module
    autoreload.watch()
    autoreload._Watched.reloader = None
    autoreload.watch()
    assert reloader.maybe_reload_module is watched


def test_without_the_extension_there_is_nothing_to_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    monkeypatch.setattr(autoreload._Watched, "reloader", None)
    autoreload.watch()
    assert autoreload._Watched.reloader is None
