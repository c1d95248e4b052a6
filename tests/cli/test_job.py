from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.cli.exits import UsageError
from kernelfleet.cli.job import Job, prepare, split_argv

CLI = Callable[..., tuple[int, str, str]]
WITH_VALUE = {"-n", "--engines", "--config", "--kernel"}


@pytest.mark.parametrize(
    ("line", "own", "job"),
    [
        ("a.py", "", Job(("a.py",))),
        ("-n 4 a.py -n 5 --help", "-n 4", Job(("a.py", "-n", "5", "--help"))),
        ("-n4 --engines=3 a.py x", "-n4 --engines=3", Job(("a.py", "x"))),
        ("--Run.n 4 a.py", "--Run.n 4", Job(("a.py",))),
        ("--Run.n=4 a.py", "--Run.n=4", Job(("a.py",))),
        ("--debug a.py", "--debug", Job(("a.py",))),
        ("-c 1+1 -n 4", "", Job(("-c", "-n", "4"), code="1+1")),
        ("-n 2 -m a.tool -n 4", "-n 2", Job(("-m", "-n", "4"), module="a.tool")),
        ("-n 2 - -n 4", "-n 2", Job(("-", "-n", "4"))),
        ("--kernel bash a.sh", "--kernel bash", Job(("a.sh",))),
        ("-n 2 -- -odd.py x", "-n 2", Job(("-odd.py", "x"))),
        ("--help", "--help", None),
        ("-n 2 --", "-n 2", None),
        ("", "", None),
    ],
)
def test_what_comes_after_the_script_belongs_to_it(line: str, own: str, job: Job | None) -> None:
    assert split_argv(line.split(), WITH_VALUE) == (own.split(), job)


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["-n", "2"], "Name a script, or a module with -m, or give code with -c"),
        (["-c"], "-c needs code"),
        (["-m"], "-m needs a module"),
        (["nowhere.py"], "cannot read nowhere.py: No such file"),
    ],
)
def test_no_job_and_no_code_are_mistakes(cli: CLI, argv: list[str], complaint: str) -> None:
    code, _, err = cli("run", *argv)
    assert code == 2
    assert complaint in err


def test_a_script_is_read_and_compiled_before_anything_starts(cli: CLI, tmp_path: Path) -> None:
    script = tmp_path / "it's a script.py"
    script.write_text("a = 1\nb = = 2\n")
    code, _, err = cli("run", str(script))
    assert code == 2
    assert f"{script}:2: SyntaxError: invalid syntax" in err
    script.write_bytes(b"a = '\xff'\n")
    assert "SyntaxError" in cli("run", str(script))[2]


def test_so_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("b = = 2\n"))
    with pytest.raises(UsageError, match="-:1: SyntaxError: invalid syntax"):
        prepare(Job(("-",)), python=True)


class Client:
    """Notes what it is asked to run."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.scripts: list[tuple[str, str, tuple[str, ...]]] = []

    def execute(self, code: str, **_: Any) -> None:
        self.cells.append(code)

    def _run_script(self, code: str, path: str, argv: tuple[str, ...], **_: Any) -> None:
        self.scripts.append((code, path, argv))


def run(job: Job, *, python: bool = True) -> Client:
    client: Any = Client()
    prepare(job, python=python)(client, lambda *_: None)
    noted: Client = client
    return noted


def test_code_finds_its_arguments_and_stands_alone_in_its_cell() -> None:
    preparation, cell = run(Job(("-c", "x"), code="seen = sys.argv")).cells
    assert preparation.endswith("sys.argv = ['-c', 'x']")
    assert cell == "seen = sys.argv"


def test_scripts_and_standard_input_are_run_as_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "tool.py"
    script.write_text("a = 1\n")
    assert run(Job((str(script), "x"))).scripts == [("a = 1\n", str(script), (str(script), "x"))]
    monkeypatch.setattr("sys.stdin", io.StringIO("a = 2\n"))
    assert run(Job(("-", "x"))).scripts == [("a = 2\n", "<stdin>", ("-", "x"))]


def test_other_languages_get_the_text_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "tool.sh"
    script.write_text("echo $(( 1 + 1 ))\n")
    assert run(Job((str(script),)), python=False).cells == ["echo $(( 1 + 1 ))\n"]
    assert run(Job(("-c",), code="ls"), python=False).cells == ["ls"]
    monkeypatch.setattr("sys.stdin", io.StringIO("ls -l\n"))
    assert run(Job(("-",)), python=False).cells == ["ls -l\n"]
    with pytest.raises(UsageError, match="-m is for Python"):
        prepare(Job(("-m",), module="json"), python=False)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A namespace in which a cell runs as on an engine, leaving this process as it was."""
    monkeypatch.setattr("sys.argv", [])
    monkeypatch.setattr("sys.path", [])
    return {"engine_id": 1, "__name__": "__main__"}


def test_a_module_runs_as_python_runs_it(
    engine: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "a_package_to_run"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import sys\nfrom . import __name__ as parent\n"
        "seen = parent, __name__, __file__, sys.argv, engine_id\nexit()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(engine, "exit", None)
    for cell in run(Job(("-m", "x"), module="a_package_to_run")).cells:
        exec(cell, engine)
    file = str(package / "__main__.py")
    assert engine["seen"] == ("a_package_to_run", "__main__", file, [file, "x"], 1)


@pytest.mark.parametrize("module", ["there_is_no_such_module", "json.no_such_module", "no.such"])
def test_a_module_that_is_not_there_is_told_in_words(engine: dict[str, Any], module: str) -> None:
    (preparation, _) = run(Job(("-m",), module=module)).cells
    with pytest.raises(SystemExit) as raised:
        exec(preparation, engine)
    assert module in str(raised.value)
