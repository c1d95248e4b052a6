from __future__ import annotations

from collections.abc import Callable

import pytest

from kernelfleet.wire.files.connection_file import FleetFile
from tests.cli.commands.clients import Client

CLI = Callable[..., tuple[int, str, str]]
Running = Callable[..., FleetFile]


@pytest.mark.parametrize(
    ("words", "ids", "told"),
    [
        ([], [0, 1, 2], "Interrupted in fleet 'default': 1.\n"),
        (["1"], [1], "Interrupted in fleet 'default': 1.\n"),
        (["0,2"], [0, 2], "Nothing ran on engines 0,2 of fleet 'default'.\n"),
    ],
)
def test_which_engines_and_which_of_them_worked(
    cli: CLI, running: Running, fleet_client: Client, words: list[str], ids: list[int], told: str
) -> None:
    running()
    assert cli("interrupt", *words) == (0, told, "")
    assert fleet_client.asked == [("interrupt", ids, 30.0)]


def test_a_fleet_that_does_not_run_is_told(cli: CLI) -> None:
    assert cli("interrupt", "sweep")[0] == 11
