"""``kernelfleet exec``: what it takes. tests/journeys/test_steering.py runs it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet.wire.files.connection_file import FleetFile
from tests.cli.commands.clients import Client

CLI = Callable[..., tuple[int, str, str]]
Running = Callable[..., FleetFile]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "exec what? Name a script, or give code with -c"),
        (["-m", "json"], "-m is for `kernelfleet run`"),
        (["-c", "f()", "an", "argument"], "code of -c takes no arguments"),
        (["nowhere.py"], "cannot read nowhere.py"),
        (["-t", "1:2:0", "-c", "1"], "1:2:0"),
        (["-c"], "-c needs code"),
    ],
)
def test_mistakes_are_found_before_anything_runs(
    cli: CLI, running: Running, fleet_client: Client, words: list[str], told: str
) -> None:
    running()
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    code, out, err = cli("exec", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert fleet_client.asked == []
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_script_that_does_not_compile_is_told(
    cli: CLI, running: Running, fleet_client: Client, tmp_path: Path
) -> None:
    running()
    (tmp_path / "bad.py").write_text("x = (\n")
    code, _, err = cli("exec", "-t", "0", str(tmp_path / "bad.py"))
    assert code == 2
    assert "bad.py:1: SyntaxError" in err
    del fleet_client


def test_no_fleet_is_told(cli: CLI) -> None:
    assert cli("exec", "-c", "1")[0] == 11
    code, _, err = cli("exec", "--name", "sweep", "-c", "1")
    assert code == 11
    assert "no fleet 'sweep' is running" in err
