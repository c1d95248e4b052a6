"""A fleet that starts in a folder full of Python files, another user's or of unlucky names.

Nothing of them is imported until the user's own code asks for it, which finds them where a notebook
does: behind the standard library, before what is installed.
"""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelfleet import CompositeError, Fleet, MultiEngineClient

#: What a decoy does when it is imported.
DECOY = "open({note!r}, 'a').write(__name__ + '\\n')\n"


def names() -> set[str]:
    """Everything that could be imported by its name, and what is looked for by default."""
    installed = {path for path in sys.path if path.startswith(sysconfig.get_path("purelib"))}
    installed |= {path for path in sys.path if Path(path).name == "site-packages"}
    here = {"kernelfleet", "sitecustomize", "usercustomize", "ipython_config"}
    return set(sys.stdlib_module_names) | {m.name for m in pkgutil.iter_modules(installed)} | here


@pytest.fixture(scope="module")
def decoys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder; ``note`` beside it has what was imported."""
    folder = tmp_path_factory.mktemp("shared") / "folder"
    folder.mkdir()
    for name in names() - {"__main__"}:
        (folder / f"{name}.py").write_text(DECOY.format(note=str(folder.parent / "note")))
    return folder


@pytest.fixture
def folder(decoys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder is the current one, and nothing of it was imported yet."""
    monkeypatch.chdir(decoys)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    yield decoys
    (decoys.parent / "note").unlink(missing_ok=True)


def imported(folder: Path) -> list[str]:
    note = folder.parent / "note"
    return note.read_text().split() if note.exists() else []


def work(mec: MultiEngineClient) -> None:
    """Something of all that an engine does."""
    mec.execute("import sys, os\nprint('out'); print('err', file=sys.stderr)\n6 * 7")
    mec.execute("from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))\nos.getpid")
    with pytest.raises(CompositeError):
        mec.execute("def f():\n    return 1 / 0\nf()")
    mec.push({"x": [1, 2, 3], "y": b"z" * 200_000})
    assert mec.pull("x") == [[1, 2, 3]]
    assert mec.apply(lambda a: a + len(x), 1)[0] == 4  # type: ignore[name-defined] # noqa: F821
    assert mec.map(lambda a: a * 2, range(8)) == [a * 2 for a in range(8)]
    mec.execute("get_ipython().complete('os.pa')\nget_ipython().run_line_magic('pinfo', 'os')")
    mec.execute("get_ipython().system('true')\n%timeit -n1 -r1 pass\n%time pass")
    mec.execute("import asyncio\nawait asyncio.sleep(0)")
    mec.keys()
    mec.reset()


@pytest.mark.parametrize(
    "options", [{}, {"fork": False}, {"kernel": "python3"}], ids=["forked", "ordinary", "python3"]
)
def test_nothing_of_the_folder_is_imported_by_an_embedded_fleet(
    folder: Path, options: dict[str, object]
) -> None:
    with Fleet(1, **options) as mec:  # type: ignore[arg-type]
        if "kernel" not in options:
            work(mec)
        mec.execute("6 * 7")
        assert imported(folder) == []


def test_nothing_of_the_folder_is_imported_by_a_daemon(folder: Path) -> None:
    def kernelfleet(*argv: str) -> None:
        command = [str(Path(sys.executable).parent / "kernelfleet"), *argv]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    kernelfleet("start", "-n", "1", "--name", "folder", "--no-tcp", "--daemonize")
    try:
        with MultiEngineClient("folder") as mec:
            mec.execute("6 * 7")
            mec.restart()
            assert mec.execute("6 * 7")[0].value == 42
        kernelfleet("list")
    finally:
        kernelfleet("stop", "folder")
    assert imported(folder) == []


@pytest.mark.parametrize("fork", [True, False], ids=["forked", "ordinary"])
def test_the_users_code_finds_the_folder_behind_the_standard_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fork: bool
) -> None:
    (tmp_path / "mine.py").write_text("x = 'mine'")
    (tmp_path / "rich.py").write_text("x = 'mine before what is installed'")
    (tmp_path / "random.py").write_text("raise RuntimeError('the folder comes first')")
    monkeypatch.chdir(tmp_path)
    with Fleet(1, fork=fork) as mec:
        mec.execute("import mine, rich, random, sys")
        found = mec.execute("mine.x, rich.x")[0].value
        assert found == ("mine", "mine before what is installed")
        assert mec.execute("sys.path.count('')")[0].value == 1
        assert mec.execute("random.randrange(1)")[0].value == 0
        assert mec.execute("sys.flags.safe_path")[0].value is False


def test_a_module_beside_the_notebook_can_be_preloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("import os, random\npid = os.getpid()")
    (tmp_path / "random.py").write_text("raise RuntimeError('the folder comes first')")
    monkeypatch.chdir(tmp_path)
    with Fleet(1, preload=["mine"]) as mec:
        mec.execute("import mine, os, sys")
        assert mec.execute("mine.pid == os.getppid()")[0].value is True
        assert mec.execute("sys.path.count('')")[0].value == 1


def test_a_safe_path_that_the_user_wants_keeps_the_folder_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with Fleet(1, env={"PYTHONSAFEPATH": "1"}) as mec:
        with pytest.raises(CompositeError) as failed:
            mec.execute("import mine")
        assert isinstance(failed.value.exceptions[0], ModuleNotFoundError)
        assert os.fspath(tmp_path) not in mec.execute("import sys\nsys.path")[0].value
