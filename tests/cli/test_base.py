from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet import errors
from kernelfleet.cli.base import COMMANDS, complain, exit_code_of, find_fleet
from kernelfleet.wire.connection import FleetFile

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
        (["start", "-n"], "expected one argument"),
        (["start", "-n", "many"], "expected an int, not the str 'many'"),
        (["start", "-n", "0"], "should not be less than 1"),
        (["start", "-n0"], "should not be less than 1"),
        (["start", "--port", "99999"], "should not be greater than 65535"),
        (["start", "--name", "a/b"], "'a/b' cannot name a fleet"),
        (["start", "twice"], "start takes no argument 'twice'"),
        (["list", "twice"], "list takes no argument 'twice'"),
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


def test_a_bad_setting_in_the_configuration_file_is_a_mistake_too(cli: CLI, home: Path) -> None:
    (home / "config_dir").mkdir()
    (home / "config_dir" / "jupyter_kernelfleet_config.py").write_text("c.Start.n = 'many'\n")
    code, _, err = cli("start", "--daemonize")
    assert code == 2
    assert "expected an int, not the str 'many'" in err


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
    settings = ["Start.n", "Start.fleet_name", "Stop.timeout", "Run.n", "Demo.matrices"]
    for setting in [*settings, "Limits.queue_length"]:
        assert f"# c.{setting} = " in text
    cli("start", "--generate-config", "-y")
    assert file.read_text() == text


def test_importing_a_command_does_not_import_what_its_help_can_do_without() -> None:
    code = "import sys, kernelfleet.cli.app, kernelfleet.cli.start; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert {"zmq", "IPython", "jupyter_client", "rich", "psutil", "argcomplete"}.isdisjoint(
        run.stdout.split()
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.FleetExists("x"), 10),
        (errors.FleetNotFound("x"), 11),
        (errors.CallTimeout("x"), 124),
        (KeyboardInterrupt(), 130),
        (errors.ControllerUnreachable("x"), 1),
        (errors.StartError("x"), 1),
    ],
)
def test_exit_codes_tell_scripts_what_went_wrong(error: BaseException, code: int) -> None:
    assert exit_code_of(error) == code


def test_a_complaint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain("one\n  and another")
    assert capsys.readouterr().err == "kernelfleet: one and another\n"


def test_a_fleet_is_found_by_name_or_when_there_is_no_choice(
    running: Callable[..., FleetFile],
) -> None:
    with pytest.raises(errors.FleetNotFound, match="there is none"):
        find_fleet("sweep")
    with pytest.raises(errors.FleetNotFound, match="no fleet is running"):
        find_fleet(None)
    running("sweep")
    assert find_fleet("sweep").name == "sweep"
    assert find_fleet(None).name == "sweep"
    running("other")
    with pytest.raises(errors.FleetNotFound, match="'other', 'sweep'"):
        find_fleet(None)
    with pytest.raises(errors.FleetNotFound, match="running: other, sweep"):
        find_fleet("sweeep")
    running("default")
    assert find_fleet(None).name == "default"
