from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet.cli.base import COMMANDS

CLI = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_sub_command_explains_itself(cli: CLI, command: str) -> None:
    code, out, err = cli(command, "--help")
    assert code == 0
    assert out.startswith(f"Usage: kernelfleet {command}")
    assert "-h, --help" in out
    assert "trait" not in out
    assert not err


def test_options_of_the_sub_command_stand_before_those_of_all(cli: CLI) -> None:
    _, out, _ = cli("start", "--help")
    assert out.index("--daemonize") < out.index("--log-level") < out.index("--debug")


def test_help_all_shows_the_settings_of_a_configuration_file(cli: CLI) -> None:
    _, out, _ = cli("start", "--help-all")
    assert "--Start.n=<Int>" in out


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["start", "--foo"], "there is no option --foo;"),
        (["start", "--foo=1"], "there is no option --foo;"),
        (["start", "--daemonise"], "there is no option --daemonise (did you mean --daemonize?)"),
        (["start", "-n"], "kernelfleet start: -n needs a value;"),
        (["start", "--engines"], "kernelfleet start: --engines needs a value;"),
        (["start", "-n", "many"], "-n takes a whole number, 1 or more, not many"),
        (["start", "-n", "0"], "-n takes a whole number, 1 or more, not 0"),
        (["start", "-n0"], "-n takes a whole number, 1 or more, not 0"),
        (["start", "-n", ""], "-n takes a whole number, 1 or more, not ''"),
        (["start", "--Start.n=0"], "-n takes a whole number, 1 or more, not 0"),
        (["start", "--Start.fork=maybe"], "--Start.fork takes True or False, not maybe"),
        (["start", "--Start.nn=1"], "there is no setting Start.nn (did you mean Start.n?)"),
        (["start", "--port", "99999"], "--port takes a whole number from 1 to 65535, not 99999"),
        (["start", "--restart", "yes"], "--restart takes never or on-death, not yes"),
        (["start", "--log-level", "loud"], "--log-level takes DEBUG, INFO, WARN, ERROR or CRIT"),
        (["logs", "--engine", "-1"], "--engine takes a whole number, 0 or more, not -1"),
        (["stop", "--timeout", "soon"], "--timeout takes a number, 0 or more, not soon"),
        (["start", "--name", "a/b"], "'a/b' cannot name a fleet"),
        (["demo", "twice"], "demo takes no argument 'twice'"),
        (["stop", "a", "b"], "one fleet at most, not a b"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_a_remedy(
    cli: CLI, argv: list[str], complaint: str
) -> None:
    code, out, err = cli(*argv)
    assert code == 2
    assert complaint in err
    assert f"`kernelfleet {argv[0]} --help` tells" in err
    assert err.count("\n") == 1
    assert not out


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("c.Start.n = 'many'", "c.Start.n takes a whole number, 1 or more, not many"),
        ("c.Start.m = 4", "there is no setting Start.m"),
    ],
)
def test_a_bad_setting_in_the_configuration_file_is_a_mistake_too(
    cli: CLI, home: Path, line: str, complaint: str
) -> None:
    (home / "config_dir").mkdir()
    (home / "config_dir" / "jupyter_kernelfleet_config.py").write_text(f"{line}\n")
    code, _, err = cli("start", "--daemonize")
    assert code == 2
    assert complaint in err


def test_a_configuration_file_that_does_not_load_is_a_mistake_too(cli: CLI, home: Path) -> None:
    (home / "config_dir").mkdir()
    (home / "config_dir" / "jupyter_kernelfleet_config.py").write_text("c.Start.n = four\n")
    code, _, err = cli("start", "--daemonize")
    assert code == 2
    assert "does not load: NameError: name 'four' is not defined" in err
    assert err.count("\n") == 1


def test_a_configuration_file_that_is_named_and_not_there_is_a_mistake(
    cli: CLI, home: Path
) -> None:
    code, _, err = cli("list", "--config", str(home / "nope.py"))
    assert code == 2
    assert f"there is no configuration file {home / 'nope.py'}" in err
    (home / "there.py").write_text("")
    assert cli("list", "--config", str(home / "there.py"))[0] == 0
    assert cli("list", "--config", str(home / "there"))[0] == 0


def test_the_command_line_wins_over_the_configuration_file(cli: CLI, home: Path) -> None:
    (home / "config_dir").mkdir()
    config = home / "config_dir" / "jupyter_kernelfleet_config.py"
    config.write_text("c.Start.n = 3\nc.Start.fleet_name = 'mine'\n")
    _, out, _ = cli("start", "-n5", "--show-config")
    assert ".n = 5" in out
    assert ".fleet_name = 'mine'" in out


def test_one_generated_file_holds_the_settings_of_all_sub_commands(cli: CLI, home: Path) -> None:
    code, out, _ = cli("--generate-config")
    file = home / "config_dir" / "jupyter_kernelfleet_config.py"
    assert code == 0
    assert str(file) in out
    text = file.read_text()
    settings = ["Start.n", "Start.fleet_name", "Stop.timeout", "Run.n", "Demo.seconds"]
    for setting in [*settings, "Limits.queue_length"]:
        assert f"# c.{setting} = " in text
    cli("start", "--generate-config", "-y")
    assert file.read_text() == text


def test_a_configuration_file_is_not_overwritten_where_nobody_can_answer(
    cli: CLI, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "mine.py"
    file.write_text("# mine")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, err = cli("--generate-config", "--config", str(file))
    assert code == 2
    assert f"{file} exists, and is kept; -y writes it anew" in err
    assert file.read_text() == "# mine"


def test_importing_a_command_does_not_import_what_its_help_can_do_without() -> None:
    code = "import sys, kernelfleet.cli.app, kernelfleet.cli.commands.start; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert {"zmq", "IPython", "jupyter_client", "rich", "psutil", "argcomplete"}.isdisjoint(
        run.stdout.split()
    )
