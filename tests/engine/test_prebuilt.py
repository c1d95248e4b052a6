"""prebuilt.py: engines of one fork server share a shell, and each has its own of all else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.engine import prebuilt
from kernelfleet.provisioners.forkserver import ForkServer
from kernelfleet.provisioners.kinds import kind_of
from tests.engine.driver import Engine

ADDRESS = "id(get_ipython())"


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer(kind_of([], os.environ))
    yield server
    server.close()


@pytest.fixture(scope="module")
def engines(server: ForkServer) -> Iterator[list[Engine]]:
    """Two of one fork server, and one with an option that only IPython's own start understands."""
    folders = [Path(tempfile.mkdtemp(prefix="kf-")) for _ in range(3)]
    options: list[tuple[str, ...]] = [(), (), ("--IPKernelApp.exec_lines=x = 6",)]
    pairs = zip(folders, options, strict=True)
    started = [Engine(folder, *more, fork_server=server) for folder, more in pairs]
    for engine in started:
        engine.set_up()
    yield started
    for engine in started:
        engine.close()
        shutil.rmtree(engine.folder)


def in_two(engines: list[Engine], expression: str) -> list[Any]:
    return [engine.value(expression) for engine in engines[:2]]


def test_the_shell_is_the_fork_servers(engines: list[Engine]) -> None:
    one, other = in_two(engines, ADDRESS)
    assert one == other


@pytest.mark.parametrize(
    "expression",
    [
        "get_ipython().kernel.ident",
        "get_ipython().displayhook.topic",
        "get_ipython().kernel._values._birth",
        "get_ipython().ipython_dir",
        "get_ipython().profile_dir.location",
        "str(get_ipython().history_manager.hist_file)",
        "get_ipython().parent.parent.connection_file",
        "get_ipython().kernel.session.pid",
        "__import__('secrets').token_hex(4)",
        "__import__('random').random()",
    ],
)
def test_each_has_its_own(engines: list[Engine], expression: str) -> None:
    one, other = in_two(engines, expression)
    assert one != other


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("__import__('sys').modules['__main__'].__dict__ is globals()", True),
        ("get_ipython() is type(get_ipython()).instance()", True),
        ("get_ipython().kernel is type(get_ipython().kernel).instance()", True),
        ("get_ipython().parent.parent is type(get_ipython().parent.parent).instance()", True),
        ("[str(path) for path in _dh] == [__import__('os').getcwd()]", True),
        ("get_ipython()._orig_sys_module_state['stdout'] is __import__('sys').stdout", True),
        ("__import__('os').environ['PAGER']", "cat"),
        ("__import__('sys').path.count('')", 1),
        ("__import__('threading').current_thread() is __import__('threading').main_thread()", True),
    ],
)
def test_it_is_as_if_each_had_been_started_alone(
    engines: list[Engine], expression: str, value: object
) -> None:
    assert [engine.value(expression) for engine in engines] == [value] * 3


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python counts everything")
def test_references_to_what_is_shared_are_not_counted(engines: list[Engine]) -> None:
    count = "__import__('sys').getrefcount"
    assert (
        in_two(engines, f"{count}(get_ipython().run_cell.__func__) == {count}(None)") == [True] * 2
    )
    assert in_two(engines, f"{count}(get_ipython()) < 1000") == [True] * 2


def test_the_names_of_a_shell_are_hidden_and_the_users_are_not(engines: list[Engine]) -> None:
    for engine in engines:
        assert engine.execute("mine = 1\n%who_ls")["status"] == "ok"
        assert engine.value("[each for each in get_ipython().run_line_magic('who_ls', '')]") in (
            ["mine"],
            ["mine", "x"],
        )


def test_an_error_is_rendered_before_the_fork_and_leaves_nothing(engines: list[Engine]) -> None:
    code = (
        "from kernelfleet.engine import prebuilt\nprebuilt.load()\nrendered = []\n"
        "prebuilt.render = lambda shell, error: rendered.append(type(error).__name__) or []\n"
        "prebuilt.build()\nprint(*rendered)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "ZeroDivisionError\n"
    assert in_two(engines, "get_ipython()._last_traceback") == [None, None]
    assert in_two(engines, "getattr(__import__('sys'), 'last_value', None)") == [None, None]


def test_no_directory_of_the_users_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    server = ForkServer(kind_of([], os.environ))
    folder = Path(tempfile.mkdtemp(prefix="kf-"))
    engine = Engine(folder, fork_server=server)
    try:
        engine.set_up()
        assert engine.value("get_ipython().ipython_dir") == str(folder / "ipython")
    finally:
        engine.close()
        server.close()
        shutil.rmtree(folder)
    assert not list(tmp_path.iterdir())


def test_with_any_other_option_an_engine_makes_its_shell_itself(engines: list[Engine]) -> None:
    assert engines[2].value("x") == 6
    assert engines[2].value(ADDRESS) != engines[0].value(ADDRESS)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--Session.session=s", "--IPKernelApp.ipython_dir=d"],
        ["-f", "{file}"],
        ["-f", "{file}", "--Session.session=s", "--IPKernelApp.ipython_dir=d", "--debug"],
        ["-f", "no such file", "--Session.session=s", "--IPKernelApp.ipython_dir=d"],
    ],
)
def test_what_is_not_an_engines_command_line_is_left_to_ipython(
    argv: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "e.json"
    file.write_text('{"a_port": 1, "b_port": 2, "c_port": 3, "d_port": 4, "e_port": 5}')
    assert prebuilt._read([each.format(file=file) for each in argv]) is None


@pytest.mark.parametrize(("ports", "is_read"), [("12345", True), ("12340", False), ("1234", False)])
def test_ports_that_the_engine_must_choose_and_write_down_are_left_to_ipython(
    ports: str, is_read: bool, tmp_path: Path
) -> None:
    file = tmp_path / "e.json"
    file.write_text("{" + ", ".join(f'"{at}_port": {port}' for at, port in enumerate(ports)) + "}")
    given = ["-f", str(file), "--Session.session=s", "--IPKernelApp.ipython_dir=d"]
    assert (prebuilt._read([*given, "--EngineApp.output_limit_bytes=7"]) is not None) == is_read
