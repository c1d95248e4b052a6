from __future__ import annotations

import os
import re
import resource
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points

import pytest

import kernelfleet
from kernelfleet.cli import app, application
from kernelfleet.cli.base import COMMANDS, Command
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.files.fleet_paths import make_log_dir

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
    assert "no sub-command 'strat' (did you mean start?), only start, stop" in err


@pytest.mark.parametrize("argv", [["--version"], ["start", "--version"]])
def test_the_version(cli: CLI, argv: list[str]) -> None:
    assert cli(*argv)[:2] == (0, f"{kernelfleet.__version__}\n")


def test_help_answers_at_once() -> None:
    seconds = []  # of work: what others do on this machine is no fault of ours
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "kernelfleet.cli", "--help"],
            capture_output=True,
            check=True,
            timeout=60,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert statistics.median(seconds) < 0.3


def test_an_error_is_one_line_unless_debug_is_asked_for(
    cli: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Command) -> int:
        raise kernelfleet.StartError("no engine came up; see the log")

    monkeypatch.setattr("kernelfleet.cli.commands.status.ListFleets.work", fail)
    assert cli("list") == (1, "", "kernelfleet: no engine came up; see the log\n")
    with pytest.raises(kernelfleet.StartError):
        cli("list", "--debug")


def test_ctrl_c_is_no_traceback(cli: CLI, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Command) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("kernelfleet.cli.commands.status.ListFleets.work", interrupt)
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
        ("kernelfleet start --restart ", {"never", "on-death"}),
        ("kernelfleet start --kernel py", {"python3"}),
        ("kernelfleet start --Li", {"--Limits.queue_length"}),
        ("kernelfleet stop ", {"sweep"}),
        ("kernelfleet status s", {"sweep"}),
        ("kernelfleet restart --name s", {"sweep"}),
        ("kernelfleet logs ye", {"yesterday"}),
    ],
)
def test_the_shell_completes_what_can_stand_there(
    line: str, expected: set[str], running: Callable[..., FleetFile]
) -> None:
    running("sweep")
    make_log_dir("yesterday")
    assert expected <= completed(line)


def test_the_shell_is_offered_nothing_that_is_traitlets_own() -> None:
    words = completed("kernelfleet start --")
    assert "--engines" in words
    assert not {word for word in words if "." in word or re.fullmatch("--.", word)}
    assert completed("kernelfleet start ") == set()


def completed(line: str) -> set[str]:
    """What a shell is offered for this line."""
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
    prefix = line.rpartition(" ")[2]
    assert all(word.startswith(prefix) for word in words)
    return words


def test_jupyter_finds_us_as_well() -> None:
    scripts = {each.name: each for each in entry_points(group="console_scripts")}
    assert scripts["kernelfleet"].load() is app.main
    assert scripts["jupyter-kernelfleet"].load() is app.main


def test_the_shell_is_told_that_it_may_ask_us() -> None:
    with open(app.__file__, encoding="utf-8") as file:
        assert "PYTHON_ARGCOMPLETE_OK" in file.read(1024)


#: Runs the entry point with a Ctrl-C in the middle of its imports.
INTERRUPTED = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == "traitlets":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from kernelfleet.cli.app import main
sys.exit(main())
"""


def test_ctrl_c_in_the_first_moment_is_no_traceback() -> None:
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (-signal.SIGINT, "", "")


#: Runs a command that Ctrl-C has ended, and has Ctrl-C pressed again while the interpreter ends.
INTERRUPTED_TWICE = """
import os, signal, sys
from kernelfleet.cli import app, application
class AtTheEnd:
    def __del__(self, kill=os.kill, pid=os.getpid(), signum=signal.SIGINT):
        kill(pid, signum)
at_the_end = AtTheEnd()
def interrupted(argv):
    WHAT_IT_DOES
application.main = interrupted
sys.exit(app.main())
"""


@pytest.mark.parametrize("does", ["return 130", "raise KeyboardInterrupt"])
def test_ctrl_c_pressed_again_while_the_interpreter_ends_leaves_the_exit_code(does: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_TWICE.replace("WHAT_IT_DOES", does)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "")


def test_a_ctrl_c_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(application, "main", lambda _: seen.append(signal.getsignal(signal.SIGINT)))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        app.main()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        app.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIG_IGN, signal.default_int_handler]
