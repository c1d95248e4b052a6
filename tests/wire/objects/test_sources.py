"""Source lines of code that travels: each function shows its own, whatever else has come."""

from __future__ import annotations

import inspect
import io
import linecache
import pickle
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.wire.objects import sources
from kernelfleet.wire.objects.arrivals import load
from kernelfleet.wire.objects.functions import FleetPickler

CELL = "# a cell\ndef f():\n    def inner():\n        return 1 / 0  # here\n    return inner()\n"


@pytest.fixture(autouse=True)
def linecache_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sources, "_kept", {})
    before = dict(linecache.cache)
    yield
    linecache.cache.clear()
    linecache.cache.update(before)


def cell(source: str, name: str) -> types.FunctionType:
    """The first function of a cell, run as IPython runs one."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return defined(source, name)


def defined(source: str, name: str) -> types.FunctionType:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), namespace)
    found: types.FunctionType = next(v for v in namespace.values() if inspect.isfunction(v))
    return found


def packed(obj: object) -> bytes:
    stream = io.BytesIO()
    FleetPickler(stream).dump(obj)
    return stream.getvalue()


def elsewhere(data: bytes) -> Any:
    """Load as a process would that has none of the lines."""
    linecache.cache.clear()
    return load(data)


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from codes(const)


def line(code: types.CodeType, offset: int = 0) -> str:
    return linecache.getline(code.co_filename, code.co_firstlineno + offset).strip()


def test_file_name_and_first_line_travel_with_nested_code_too() -> None:
    there = elsewhere(packed(cell(CELL, "<cell 1>")))
    assert [(each.co_filename, each.co_firstlineno) for each in codes(there.__code__)] == [
        ("<cell 1>", 2),
        ("<cell 1>", 3),
    ]
    assert there.__code__.co_consts[1].co_qualname == "f.<locals>.inner"


def test_a_code_object_by_itself_keeps_everything() -> None:
    code = cell(CELL, "<cell 1>").__code__
    there = elsewhere(packed(code))
    assert there == code
    for name in ("co_filename", "co_qualname", "co_linetable", "co_exceptiontable", "co_flags"):
        assert getattr(there, name) == getattr(code, name)


def test_each_of_several_cells_shows_its_own_lines() -> None:
    here = [cell(CELL, "<cell 1>"), cell("def g(): return 2  # other\n", "<cell 2>")]
    first, second = elsewhere(packed(here))
    assert line(first.__code__.co_consts[1], 1) == "return 1 / 0  # here"
    assert line(second.__code__) == "def g(): return 2  # other"
    assert inspect.getsource(first).endswith("return inner()\n")
    # all of the cell is there
    assert linecache.getline("<cell 1>", 1) == "# a cell\n"


def test_a_traceback_shows_the_line_of_nested_code() -> None:
    import traceback

    there = elsewhere(packed(cell(CELL, "<cell 1>")))
    with pytest.raises(ZeroDivisionError) as raised:
        there()
    assert traceback.extract_tb(raised.tb)[-1].line == "return 1 / 0  # here"


def test_a_warning_names_the_file_and_the_line() -> None:
    source = "def f():\n    import warnings\n    warnings.warn('look')\n"
    there = elsewhere(packed(cell(source, "<cell 1>")))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        there()
    assert (seen[0].filename, seen[0].lineno) == ("<cell 1>", 3)


def test_methods_of_a_class_carry_the_text_of_their_cell_once() -> None:
    methods = "".join(f"    def m{i}(self): return {i}  # {'x' * 20}\n" for i in range(20))
    source = "class C:\n" + methods
    linecache.cache["<cell 1>"] = (len(source), None, source.splitlines(keepends=True), "<cell 1>")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<cell 1>", "exec"), namespace)
    assert packed(namespace["C"]).count(b"# xxxxx") == 20


def test_of_a_file_only_the_functions_own_lines_travel(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text("# secret\n\ndef f():\n    return 1 / 0\n\n# more\n")
    data = packed(defined(file.read_text(), str(file)))
    assert b"secret" not in data
    assert b"more" not in data
    file.unlink()  # the engine's host does not have it
    there = elsewhere(data)
    assert line(there.__code__, 1) == "return 1 / 0"
    assert inspect.getsource(there) == "def f():\n    return 1 / 0\n"


def test_functions_of_one_file_share_its_lines_where_there_is_no_file(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text("def f():\n    return 'f'\n\ndef g():\n    return 'g'\n")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(file.read_text(), str(file), "exec"), namespace)
    last, first = packed(namespace["g"]), packed(namespace["f"])
    file.unlink()
    linecache.cache.clear()
    g, f = load(last), load(first)
    assert (line(f.__code__, 1), line(g.__code__, 1)) == ("return 'f'", "return 'g'")
    assert f.__code__.co_filename == g.__code__.co_filename == str(file)


def test_where_the_file_is_there_nothing_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text("def f():\n    return 1 / 0\n")
    there = elsewhere(packed(defined(file.read_text(), str(file))))
    assert there.__code__.co_filename == str(file)
    assert sources._kept == {}
    assert line(there.__code__, 1) == "return 1 / 0"


def test_a_file_that_was_edited_shows_the_lines_that_run(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text("def f():\n    return 'before'\n")
    data = packed(defined(file.read_text(), str(file)))
    file.write_text("def f():\n    return 'something else'\n")
    there = elsewhere(data)
    assert line(there.__code__, 1) == "return 'before'"
    assert there.__code__.co_filename.startswith(f"{file} (")
    assert linecache.getline(str(file), 2) == "    return 'something else'\n"


def test_lines_that_were_read_before_an_edit_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text("def f():\n    return 'before'\n")
    linecache.getlines(str(file))
    stale = dict(linecache.cache)
    file.write_text("def f():\n    return 'after, and longer'\n")
    linecache.checkcache()
    data = packed(defined(file.read_text(), str(file)))
    linecache.cache.clear()
    linecache.cache.update(stale)
    there = load(data)
    assert there.__code__.co_filename == str(file)
    assert line(there.__code__, 1) == "return 'after, and longer'"


def test_one_name_in_two_sessions_never_mixes_their_lines() -> None:
    one = packed(cell("def f():\n    return 'one'\n", "<python-input-0>"))
    two = packed(cell("def g():\n    return 'two'\n", "<python-input-0>"))
    linecache.cache.clear()
    f, g, again = load(one), load(two), load(one)
    assert line(f.__code__, 1) == "return 'one'"
    assert line(g.__code__, 1) == "return 'two'"
    assert again.__code__.co_filename == "<python-input-0>"
    assert g.__code__.co_filename.startswith("<python-input-0> (")
    assert load(two).__code__ == g.__code__


def test_a_cell_of_this_process_keeps_its_lines() -> None:
    data = packed(cell("def f():\n    return 'theirs'\n", "<python-input-0>"))
    mine = cell("def f():\n    return 'mine'\n", "<python-input-0>")
    there = load(data)
    assert line(mine.__code__, 1) == "return 'mine'"
    assert line(there.__code__, 1) == "return 'theirs'"


def test_code_without_source_travels_without() -> None:
    there = elsewhere(packed(defined("def f(): return 4\n", "<string>")))
    assert there() == 4
    assert there.__code__.co_filename == "<string>"


def test_a_cell_that_is_too_long_sends_the_functions_own_lines() -> None:
    source = "# filler\n" * 10_000 + "def f():\n    return 1\n"
    data = packed(cell(source, "<cell 1>"))
    assert len(data) < 1000
    there = elsewhere(data)
    assert inspect.getsource(there) == "def f():\n    return 1\n"


def test_a_function_that_is_too_long_travels_without_lines() -> None:
    source = "def f():\n" + "    # filler, filler\n" * 10_000 + "    return 1\n"
    assert len(packed(cell(source, "<cell 1>"))) < 1000


def test_lines_are_kept_for_a_bounded_number_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_KEPT", 3)
    data = [packed(cell(f"def f(): return {i}\n", f"<cell {i}>")) for i in range(5)]
    linecache.cache.clear()
    functions = [load(each) for each in data]
    assert sorted(linecache.cache) == ["<cell 2>", "<cell 3>", "<cell 4>"]
    assert [f() for f in functions] == [0, 1, 2, 3, 4]


def test_lines_of_a_doctest_travel() -> None:
    """``doctest`` answers for its examples by a function of its own, not by an entry."""
    usual = linecache.getlines

    def getlines(name: str, module_globals: Any = None) -> list[str]:
        return ["def f(): return 1\n"] if name == "<doctest x[0]>" else usual(name, module_globals)

    function = defined("def f(): return 1\n", "<doctest x[0]>")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linecache, "getlines", getlines)
        data = packed(function)
    assert line(elsewhere(data).__code__) == "def f(): return 1"


def test_plain_pickle_reads_code_objects() -> None:
    code = cell(CELL, "<cell 1>").__code__
    assert pickle.loads(packed(code)) == code
