from __future__ import annotations

import ast
import linecache
import sys
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from kernelfleet.engine.running.scripts import (
    ExitsWell,
    Script,
    docstring,
    running_as_script,
)


def run(code: str) -> dict[str, Any]:
    module = ast.fix_missing_locations(ExitsWell().visit(ast.parse(code)))
    namespace: dict[str, Any] = {}
    exec(compile(module, "script.py", "exec", dont_inherit=True), namespace)
    return namespace


@pytest.mark.parametrize("status", ["", "0", "None", "False"])
def test_a_script_that_exits_with_nothing_or_zero_ends_well(status: str) -> None:
    assert run(f"import sys\na = 1\nsys.exit({status})\na = 2")["a"] == 1


@pytest.mark.parametrize("status", ["3", "'went wrong'", "-1"])
def test_another_status_is_raised(status: str) -> None:
    with pytest.raises(SystemExit) as raised:
        run(f"import sys; sys.exit({status})")
    assert raised.value.code == ast.literal_eval(status)


def test_imports_from_the_future_still_come_first() -> None:
    code = "'Doc.'\nfrom __future__ import annotations\ndef f(x: Nowhere): pass\n"
    assert run(code)["f"].__annotations__ == {"x": "Nowhere"}
    assert run("'Only this.'")["__doc__"] == "Only this."
    assert set(run("")) == {"__builtins__"}


def test_nothing_of_ours_is_left_in_the_namespace() -> None:
    assert set(run("import sys; sys.exit()")) == {"__builtins__", "sys"}


def test_a_line_that_fails_is_the_scripts_own() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        run("a = 1\n\n1 / 0\n")
    assert raised.traceback[-1].lineno + 1 == 3


def test_the_docstring_is_there_for_argparse() -> None:
    assert docstring("'Simulate.'\na = 1") == "Simulate."
    assert docstring("a = 1") is None
    assert docstring("this Python knows no such syntax") is None


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["theirs"])
    shell: Any = InteractiveShell()  # type: ignore[no-untyped-call]
    shell.history_manager.end_session()
    return shell


def test_what_is_for_the_script_alone_is_put_back(shell: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "tool.py")
    interactivity, exit_before = shell.ast_node_interactivity, shell.user_ns["exit"]
    with running_as_script(shell, Script(path, ["tool.py", "x"]), "a = 1"):
        assert sys.argv == ["tool.py", "x"]
        assert shell.user_ns["exit"] is sys.exit
        assert shell.compile.cache("a = 1", 3) == path
        assert shell.ast_node_interactivity == "none"
    assert sys.argv == ["theirs"]
    assert shell.user_ns["exit"] is exit_before
    assert shell.compile.cache("a = 1", 3) != path
    assert shell.ast_node_interactivity == interactivity
    assert not shell.ast_transformers
    # what functions of the script may need later stays
    assert shell.user_ns["__file__"] == path
    assert sys.path[0] == str(tmp_path)
    assert linecache.getlines(path) == ["a = 1"]


def test_the_future_of_a_script_is_not_that_of_the_cells(shell: Any) -> None:
    flags = shell.compile.flags
    with running_as_script(shell, Script("nowhere/tool.py", []), ""):
        shell.compile.ast_parse("from __future__ import annotations")
        assert shell.compile.flags != flags
    assert shell.compile.flags == flags


def test_a_name_that_the_script_takes_stays_its_own(shell: Any) -> None:
    with running_as_script(shell, Script("tool.py", []), ""):
        shell.user_ns["exit"] = "mine"
    assert shell.user_ns["exit"] == "mine"


def test_a_folder_that_is_not_here_is_not_looked_in(shell: Any) -> None:
    before = list(sys.path)
    with running_as_script(shell, Script("/nowhere/tool.py", []), ""):
        assert sys.path == before


def test_ipythons_language_is_left_to_ipython(shell: Any) -> None:
    with running_as_script(shell, Script("tool.ipy", ["tool.ipy"]), "%time 1"):
        assert shell.compile.cache("1", 3) != "tool.ipy"
        assert sys.argv == ["tool.ipy"]
