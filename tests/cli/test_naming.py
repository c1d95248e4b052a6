from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet import errors
from kernelfleet.cli.naming import find_fleet
from kernelfleet.wire.files.connection_file import FleetFile

CLI = Callable[..., tuple[int, str, str]]
Running = Callable[..., FleetFile]


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
    with pytest.raises(errors.SeveralFleets, match="'other', 'sweep'"):
        find_fleet(None)
    with pytest.raises(errors.FleetNotFound, match="running: other, sweep"):
        find_fleet("sweeep")
    running("default")
    assert find_fleet(None).name == "default"


@pytest.mark.parametrize("command", ["status", "list", "logs", "restart", "stop"])
@pytest.mark.parametrize("words", [["nosuch"], ["--name", "nosuch"], ["nosuch", "--name=nosuch"]])
def test_every_command_about_a_fleet_takes_its_name_as_a_word_or_an_option(
    cli: CLI, running: Running, command: str, words: list[str]
) -> None:
    running("sweep")
    code, out, err = cli(command, *words)
    assert (code, out) == (11, "")
    assert "fleet 'nosuch'" in err


@pytest.mark.parametrize("command", ["start", "status", "list", "logs", "restart", "stop"])
def test_a_fleet_that_is_named_twice_or_cannot_have_the_name_is_a_mistake(
    cli: CLI, command: str
) -> None:
    code, _, err = cli(command, "one", "--name", "two")
    assert code == 2
    assert "named twice, one and --name two" in err
    code, _, err = cli(command, "one", "two")
    assert code == 2
    assert "one fleet at most, not one two" in err
    code, _, err = cli(command, "--name", "a/b")
    assert code == 2
    assert "'a/b' cannot name a fleet" in err


@pytest.mark.parametrize("command", ["status", "logs", "restart", "stop"])
def test_several_fleets_without_a_default_one_have_an_exit_code_of_their_own(
    cli: CLI, running: Running, command: str
) -> None:
    running("one")
    running("two")
    code, _, err = cli(command)
    assert code == 12
    assert "name one of them: 'one', 'two'" in err


@pytest.mark.parametrize("words", [["stop"], ["stop", "nosuch"]])
def test_who_wants_to_stop_a_fleet_is_not_told_how_to_start_one(cli: CLI, words: list[str]) -> None:
    code, _, err = cli(*words)
    assert code == 11
    assert "start" not in err


def test_the_word_wins_over_the_configuration_file(cli: CLI, running: Running, home: Path) -> None:
    running("one")
    running("two")
    (home / "config_dir").mkdir()
    config = home / "config_dir" / "jupyter_kernelfleet_config.py"
    config.write_text("c.ListFleets.fleet_name = 'one'\n")
    assert "two" not in cli("list")[1]
    assert cli("list", "two")[1].splitlines()[-1].startswith("two")
    assert cli("list", "--name", "two")[1].splitlines()[-1].startswith("two")
