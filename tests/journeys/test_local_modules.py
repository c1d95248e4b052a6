"""Modules beside the notebook: the same on engines as here, and as current as here."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from kernelfleet import CompositeError, MultiEngineClient, SerializationError
from kernelfleet.client import imports
from tests.journeys.daemons import OwnFleet

SHAPES = """
import enum, dataclasses, threading, functools
class Color(enum.Enum):
    RED = 1
@dataclasses.dataclass
class P:
    x: int
class E(Exception): pass
MISSING = object()
LOCK = threading.Lock()
REG = {}
def register(k): REG[k] = 1; return len(REG)
def is_p(o): return isinstance(o, P), o == P(1)
def red(c): return c is Color.RED
def boom(): raise E('x')
def locked(x):
    with LOCK: return x
def doubles(n):
    return [functools.partial(max, i) for i in range(n)], (lambda: REG)
def uses_a_pushed_name(): return pushed
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[OwnFleet]:
    fleet = OwnFleet("unix", 2)
    yield fleet
    fleet.clean_up()


@pytest.fixture
def mec(daemon: OwnFleet) -> MultiEngineClient:
    return daemon.client()


@pytest.fixture
def folder(
    mec: MultiEngineClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder on this process's path, and on no engine's."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("kf_"):
            del sys.modules[name]
    mec.reset()
    mec.execute("import sys\nfor n in [n for n in sys.modules if 'kf_' in n]: del sys.modules[n]")


def write(folder: Path, name: str, text: str, seconds: int = 1000) -> None:
    (folder / f"{name}.py").write_text(text)
    os.utime(folder / f"{name}.py", (seconds, seconds))


def notebook(source: str, **names: Any) -> dict[str, Any]:
    """Names as a notebook would define them."""
    namespace: dict[str, Any] = {"__name__": "__main__", **names}
    exec(source, namespace)
    return namespace


def test_identity_is_that_of_the_engines_own_module(mec: MultiEngineClient, folder: Path) -> None:
    write(folder, "kf_shapes", SHAPES)
    shapes = importlib.import_module("kf_shapes")
    mec.execute("import kf_shapes")
    mec.push({"c": shapes.Color.RED, "p": shapes.P(1), "boom": shapes.boom})
    code = "[c is kf_shapes.Color.RED, isinstance(p, kf_shapes.P), p == kf_shapes.P(1)]"
    assert mec.execute(code, targets=0).values() == [[True] * 3]
    assert mec.apply(shapes.is_p, shapes.P(1), targets=0) == [(True, True)]
    assert mec.apply(shapes.red, shapes.Color.RED, targets=0) == [True]
    assert mec.pull("p", targets=0) == [shapes.P(1)]
    caught = "try:\n    boom()\nexcept kf_shapes.E:\n    print('caught')"
    assert mec.execute(caught, targets=0)[0].stdout == "caught\n"
    with pytest.raises(CompositeError) as raised:
        mec.apply(shapes.boom, targets=0)
    assert type(raised.value.exceptions[0]) is shapes.E


def test_state_locks_and_registries_are_the_engines(mec: MultiEngineClient, folder: Path) -> None:
    write(folder, "kf_shapes", SHAPES)
    shapes = importlib.import_module("kf_shapes")
    assert [mec.apply(shapes.register, key, targets=0) for key in "ab"] == [[1], [2]]
    main = notebook("f = lambda k: shapes.register(k)", shapes=shapes)
    assert mec.apply(main["f"], "c", targets=0) == [3]
    assert mec.map(shapes.locked, [1, 2, 3]) == [1, 2, 3]
    partials, closure = shapes.doubles(2)
    assert mec.apply(partials[1], 0, targets=0) == [1]
    assert set(mec.apply(closure, targets=0)[0]) == {"a", "b", "c"}


def test_the_path_of_the_moment_of_the_call_is_the_engines(
    mec: MultiEngineClient, folder: Path
) -> None:
    (folder / "late").mkdir()
    write(folder / "late", "kf_late", "def f(x): return x + 5\n")
    sys.path.append(str(folder / "late"))
    assert mec.execute("import kf_late; kf_late.f(1)").values() == [6, 6]
    late = importlib.import_module("kf_late")
    assert mec.map(late.f, [1, 2]) == [6, 7]
    sys.path.remove(str(folder / "late"))
    code = f"{str(folder / 'late')!r} in __import__('sys').path"
    assert mec.execute(code).values() == [False, False]


def test_an_edit_counts_for_everything_on_all_engines(mec: MultiEngineClient, folder: Path) -> None:
    text = "def f(x): return x + 1\nclass C:\n    def m(self, x): return x + 1\nK = 1\nSTATE = {}\n"
    write(folder, "kf_am", text)
    write(folder, "kf_user", "from kf_am import K, f\ndef use(x): return f(x) + K\n")
    am, user = importlib.import_module("kf_am"), importlib.import_module("kf_user")
    main = notebook("g = lambda x: (am.f(x), am.K)", am=am)
    c = am.C()
    mec.execute("import kf_am\nfrom kf_am import f as held\nkf_am.STATE['kept'] = 1")
    assert mec.apply(am.f, 0) == mec.apply(c.m, 0) == [1, 1]
    assert mec.apply(user.use, 0) == [2, 2]
    write(folder, "kf_am", text.replace("+ 1", "+ 100").replace("K = 1", "K = 10"), 2000)
    assert mec.apply(am.f, 0) == [1, 1]  # not loaded here yet, so not there
    importlib.reload(am)
    importlib.reload(user)
    assert mec.apply(am.f, 0) == [100, 100]
    assert mec.apply(am.C().m, 0) == [100, 100]
    assert mec.apply(main["g"], 0) == [(100, 10)] * 2
    assert mec.apply(user.use, 0) == [110, 110]
    assert mec.execute("held(0), kf_am.K, kf_am.STATE").values() == [(100, 10, {"kept": 1})] * 2


def test_an_edit_that_fails_is_told_once_and_disturbs_nothing(
    mec: MultiEngineClient, folder: Path
) -> None:
    text = "import os\nif 'KF_ONLY_HERE' in os.environ: K = {}\nelse: K = {}\n"
    write(folder, "kf_am", text.format(1, 1))
    am = importlib.import_module("kf_am")
    mec.execute("import kf_am")
    write(folder, "kf_am", text.format(2, "1 / 0"), 2000)
    os.environ["KF_ONLY_HERE"] = "1"
    try:
        importlib.reload(am)
    finally:
        del os.environ["KF_ONLY_HERE"]
    with pytest.raises(CompositeError) as raised:
        mec.execute("1", targets=0)
    assert "[0:execute]: ZeroDivisionError" in str(raised.value)
    assert "'kf_am' up to date" in raised.value.exceptions[0].__notes__[0]
    assert mec.execute("kf_am.K", targets=0).values() == [1]


def test_an_edit_counts_with_a_new_client(daemon: OwnFleet, tmp_path: Path) -> None:
    """A script is changed and run again; the engines have stayed."""
    (tmp_path / "script.py").write_text(
        "import kf_lib, sys\nfrom kernelfleet import MultiEngineClient\n"
        "with MultiEngineClient(sys.argv[1]) as mec: print(mec.apply(kf_lib.f))\n"
    )
    printed = []
    for version in (1, 2):
        write(tmp_path, "kf_lib", f"def f(): return {version}\n", 1000 * version)
        command = [sys.executable, str(tmp_path / "script.py"), daemon.name]
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
        printed.append(run.stdout)
    assert printed == ["[1, 1]\n", "[2, 2]\n"]


def test_a_package_found_by_an_editable_install_is_found_there(
    mec: MultiEngineClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "src" / "kf_edit").mkdir(parents=True)
    write(folder / "src" / "kf_edit", "__init__", "from .inside import f\n")
    write(folder / "src" / "kf_edit", "inside", "def f(x): return x * 3\n")
    finder = types.ModuleType("__editable___kf_edit_finder")
    finder.MAPPING = {"kf_edit": str(folder / "src" / "kf_edit")}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, finder.__name__, finder)

    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "kf_edit":
            return None
        file = folder / "src" / "kf_edit" / "__init__.py"
        return importlib.util.spec_from_file_location(name, file)

    kind = type("_EditableFinder", (), {"__module__": finder.__name__})
    kind.find_spec = staticmethod(find_spec)  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, kind])
    assert mec.execute("import kf_edit; kf_edit.f(2)").values() == [6, 6]  # not loaded here
    edit = importlib.import_module("kf_edit")
    assert mec.map(edit.f, [1, 2]) == [3, 6]


def test_where_the_file_is_missing_its_source_is_enough(
    mec: MultiEngineClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another host: what is not shared is sent, with all of the package."""
    (folder / "kf_pkg").mkdir()
    write(folder / "kf_pkg", "__init__", "from .inside import f, boom\n")
    write(folder / "kf_pkg", "inside", "def f(x): return x * 3\n\ndef boom():\n    return 1 / 0\n")
    write(folder / "kf_pkg", "lazy", "L = 7\n")
    (folder / "kf_pkg" / "data.txt").write_text("some data")
    package = importlib.import_module("kf_pkg")
    told = imports.told(with_files=True)
    folder.rename(folder.with_name("moved"))
    try:
        monkeypatch.setattr(imports, "told", lambda with_files: told)
        assert mec.map(package.f, [1, 2]) == [3, 6]
        code = (
            "import kf_pkg, pkgutil\nfrom kf_pkg.lazy import L\n"
            "L, pkgutil.get_data('kf_pkg', 'data.txt')"
        )
        assert mec.execute(code).values() == [(7, b"some data")] * 2
        with pytest.raises(CompositeError) as raised:
            mec.apply(package.boom, targets=0)
        assert "return 1 / 0" in "".join(raised.value.elist[0][2])
    finally:
        folder.with_name("moved").rename(folder)


def test_what_only_an_engine_can_import_comes_by_value(
    mec: MultiEngineClient, tmp_path: Path
) -> None:
    write(
        tmp_path, "kf_theirs", "class T:\n    def __init__(self): self.x = 5\ndef f(): return 7\n"
    )
    mec.execute(f"import sys; sys.path.append({str(tmp_path)!r})\nimport kf_theirs", targets=0)
    try:
        (made,) = mec.apply(notebook("f = lambda: __import__('kf_theirs').T()")["f"], targets=0)
        assert (type(made).__name__, made.x) == ("T", 5)
        mec.execute("f = kf_theirs.f", targets=0)
        assert mec.pull_function("f", targets=0)[0]() == 7
        mec.push({"back": made}, targets=0)
        assert mec.execute("type(back) is kf_theirs.T", targets=0).values() == [True]
    finally:
        mec.execute(f"sys.path.remove({str(tmp_path)!r}); del sys.modules['kf_theirs']", targets=0)
        mec.reset()


def test_a_name_that_only_the_engine_has_is_told(mec: MultiEngineClient, folder: Path) -> None:
    write(folder, "kf_shapes", SHAPES)
    shapes = importlib.import_module("kf_shapes")
    mec.push({"pushed": 5})
    calls: list[Callable[[], object]] = [
        lambda: mec.apply(shapes.uses_a_pushed_name, targets=0),
        lambda: mec.map(lambda _: shapes.uses_a_pushed_name(), [1], targets=0),
        lambda: mec.execute("import kf_shapes; kf_shapes.uses_a_pushed_name()", targets=0),
    ]
    for call in calls:
        with pytest.raises(CompositeError) as raised:
            call()
        (error,) = raised.value.exceptions
        assert type(error) is NameError
        note = error.__notes__[0]
        assert "this_engine().namespace['pushed']" in note
        assert "this_engine().namespace['pushed']" in "".join(raised.value.elist[0][2])


def test_a_module_that_the_user_names_travels_by_value(
    mec: MultiEngineClient, folder: Path
) -> None:
    write(folder, "kf_shapes", SHAPES)
    shapes = importlib.import_module("kf_shapes")
    mec.push({"pushed": 5})
    mec.register_by_value("kf_shapes")
    try:
        assert mec.apply(shapes.uses_a_pushed_name) == [5, 5]
        assert mec.execute("'kf_shapes' in __import__('sys').modules").values() == [False] * 2
        with pytest.raises(TypeError, match="not int"):
            mec.register_by_value(5)  # type: ignore[arg-type]
        with pytest.raises(ImportError, match="kf_no_such"):
            mec.register_by_value("kf_no_such")
    finally:
        cloudpickle.unregister_pickle_by_value(shapes)


def test_a_module_that_engines_lack_is_named_with_a_remedy(
    mec: MultiEngineClient, folder: Path
) -> None:
    write(folder, "kf_shapes", SHAPES)
    shapes = importlib.import_module("kf_shapes")
    mec.execute("import sys; sys.modules['kf_shapes'] = None", targets=0)
    try:
        calls: list[Callable[[], object]] = [
            lambda: mec.apply(shapes.red, 1, targets=0),
            lambda: mec.push({"a": shapes.P}),
        ]
        for call in calls:
            with pytest.raises(CompositeError) as raised:
                call()
            error = raised.value.exceptions[0]
            assert isinstance(error, ModuleNotFoundError)
            assert "mec.register_by_value('kf_shapes')" in error.__notes__[0]
    finally:
        mec.execute("del sys.modules['kf_shapes']", targets=0)


def test_what_cannot_travel_is_named_by_what_it_hangs_on(mec: MultiEngineClient) -> None:
    main = notebook(
        "import threading\nLOCK = threading.Lock()\ndef work(x=0, **more): return LOCK\n"
        "def gives(x): return (i for i in range(x))"
    )
    lock = main["LOCK"]
    with pytest.raises(SerializationError, match="the global 'LOCK' of the function 'work'"):
        mec.apply(main["work"])
    with pytest.raises(SerializationError, match="the global 'LOCK' of the function 'work'"):
        mec.map(main["work"], [1])
    with pytest.raises(SerializationError, match="cannot pickle argument 'key'"):
        mec.apply(max, key=lock)
    with pytest.raises(SerializationError, match="'box': cannot pickle item 'in'"):
        mec.push({"box": {"in": lock}})
    with mec.executor() as pool, pytest.raises(SerializationError, match="item 1 of argument 0"):
        pool.submit(max, [1, lock])
    with pytest.raises(CompositeError) as raised:
        mec.map(abs, [1, [lock]], chunksize=1)
    assert "cannot pickle item 0 of item 1: TypeError" in str(raised.value)
    for call in (mec.apply, lambda f, x: mec.map(f, [x])):
        with pytest.raises(CompositeError) as raised:
            call(main["gives"], 3)
        assert "cannot pickle the result: TypeError: cannot pickle 'generator'" in str(raised.value)
