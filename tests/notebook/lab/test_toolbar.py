"""The choice "Engines" of a notebook's toolbar, as JupyterLab's extension asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.error import UsageError

from kernelfleet import MultiEngineClient
from kernelfleet.notebook.extension import state_of
from kernelfleet.notebook.lab.toolbar import choose, current
from tests.fleets import NAME
from tests.notebook.conftest import Shell


@pytest.fixture
def shell(bare: Shell) -> Iterator[Shell]:
    """A shell whose own fleet is ended."""
    yield bare
    bare.run("%fleet stop")


def asked(choice: Any) -> tuple[bool, int, bool]:
    told = choice._repr_json_()
    return told["fleet"] is not None, told["engines"], told["own"]


def test_a_number_is_a_fleet_of_the_notebooks_own_that_grows_and_shrinks(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(current(shell.ip)) == (False, 0, False)
    assert asked(choose(2, shell.ip)) == (True, 2, True)
    assert capsys.readouterr().out == ""  # it would be output of no cell
    shell.run("a = engine_id")
    assert shell["mec"]["a"] == [0, 1]
    assert "a" not in shell.ip.user_ns

    assert asked(choose(1, shell.ip)) == (True, 1, True)
    assert shell["mec"]["a"] == [0]  # the same fleet, with one engine less

    assert asked(choose(None, shell.ip)) == (False, 0, False)
    shell.run("b = 1")
    assert shell["b"] == 1
    assert asked(choose(1, shell.ip)) == (True, 1, True)
    assert shell["mec"].keys() == [["a"]]


@pytest.mark.parametrize("transport", ["unix"])
def test_a_name_is_a_running_fleet(shell: Shell, mec: MultiEngineClient) -> None:
    choice = choose(NAME, shell.ip)
    assert choice._repr_json_() == {"fleet": NAME, "engines": 4, "own": False}
    shell.run("a = 5")
    assert mec["a"] == [5] * 4
    client = shell["mec"]
    assert asked(choose(NAME, shell.ip)) == (True, 4, False)
    assert shell["mec"] is client
    choose(None, shell.ip)
    client.close()
    shell.ip.user_ns.pop("mec")


def test_a_variable_of_the_users_is_kept_and_the_mode_stays_off(shell: Shell) -> None:
    shell.run("mec = 'mine'")
    with pytest.raises(UsageError, match="`mec` is a variable of yours"):
        choose(2, shell.ip)
    assert asked(current(shell.ip)) == (False, 0, False)
    shell.run("b = mec + '!'")
    assert shell["b"] == "mine!"


def test_a_fleet_that_has_ended_is_told(shell: Shell) -> None:
    choose(1, shell.ip)
    state_of(shell.ip).fleets["mec"].stop()
    assert asked(current(shell.ip)) == (True, 0, True)
    assert asked(choose(1, shell.ip)) == (True, 1, True)
