from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points

import pytest

import kernelfleet
from kernelfleet.cli import app
from kernelfleet.cli.base import COMMANDS, Command

CLI = Callable[..., tuple[int, str, str]]


def test_help_lists_the_sub_commands(cli: CLI) -> None:
    code, out, _ = cli("--help")
    assert code == 0
    for command, (_, text) in COMMANDS.items():
        assert command in out
        assert text in out


def test_without_a_sub_command_there_is_help_and_an_exit_code(cli: CLI) -> None:
    code, out, _ = cli()
    assert code == 2
    assert out.startswith("Usage: kernelfleet")


def test_an_unknown_sub_command_is_told_which_there_are(cli: CLI) -> None:
    code, _, err = cli("strat")
    assert code == 2
    assert "no sub-command 'strat', only start, stop" in err


@pytest.mark.parametrize("argv", [["--version"], ["start", "--version"]])
def test_the_version(cli: CLI, argv: list[str]) -> None:
    assert cli(*argv)[:2] == (0, f"{kernelfleet.__version__}\n")


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "kernelfleet.cli", "--help"],
            capture_output=True,
            check=True,
            timeout=60,
        )
        seconds.append(time.perf_counter() - began)
    assert statistics.median(seconds) < 0.4


def test_an_error_is_one_line_unless_debug_is_asked_for(
    cli: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Command) -> int:
        raise kernelfleet.StartError("no engine came up; see the log")

    monkeypatch.setattr("kernelfleet.cli.status.ListFleets.work", fail)
    assert cli("list") == (1, "", "kernelfleet: no engine came up; see the log\n")
    with pytest.raises(kernelfleet.StartError):
        cli("list", "--debug")


def test_ctrl_c_is_no_traceback(cli: CLI, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Command) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("kernelfleet.cli.status.ListFleets.work", interrupt)
    assert cli("list") == (130, "", "")


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "kernelfleet.cli", "list", "--json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert process.stderr == ""
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kernelfleet st", {"start", "stop", "status"}),
        ("kernelfleet start --da", {"--daemonize"}),
        ("kernelfleet run --eng", {"--engines"}),
        ("kernelfleet logs --fo", {"--follow"}),
    ],
)
def test_the_shell_completes_sub_commands_and_options(line: str, expected: set[str]) -> None:
    code = "from kernelfleet.cli.app import main; main()"
    run = subprocess.run(  # argcomplete answers on descriptor 8 and logs on 9
        ["sh", "-c", 'exec "$0" -c "$1" 8>&1 9>&2 >/dev/null', sys.executable, code],
        env={
            **os.environ,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    words = {word.strip() for word in run.stdout.splitlines()}
    assert expected <= words
    prefix = line.rpartition(" ")[2]
    assert all(word.startswith(prefix) for word in words)


def test_jupyter_finds_us_as_well() -> None:
    scripts = {each.name: each for each in entry_points(group="console_scripts")}
    assert scripts["kernelfleet"].load() is app.main
    assert scripts["jupyter-kernelfleet"].load() is app.main


def test_the_shell_is_told_that_it_may_ask_us() -> None:
    with open(app.__file__, encoding="utf-8") as file:
        assert "PYTHON_ARGCOMPLETE_OK" in file.read(1024)
