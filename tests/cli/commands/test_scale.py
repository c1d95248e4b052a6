from __future__ import annotations

from collections.abc import Callable

import pytest

from kernelfleet import CallTimeout, StartError
from kernelfleet.wire.files.connection_file import FleetFile
from tests.cli.commands.clients import Client

CLI = Callable[..., tuple[int, str, str]]
Running = Callable[..., FleetFile]


@pytest.mark.parametrize(
    ("words", "n", "told"),
    [
        (["4"], 4, "has 4 engines now: 0-3"), (["1"], 1, "has 1 engine now: 0"),
        (["+2"], 5, "has 5 engines now: 0-4"), (["-2"], 1, "has 1 engine now: 0"),
    ],
)  # fmt: skip
def test_how_many(
    cli: CLI, running: Running, fleet_client: Client, words: list[str], n: int, told: str
) -> None:
    running()
    assert cli("scale", *words) == (0, f"Fleet 'default' {told}.\n", "")
    assert fleet_client.asked == [("scale", n, None)]


def test_another_fleet_and_no_longer_than_so(
    cli: CLI, running: Running, fleet_client: Client
) -> None:
    running()
    running("sweep")
    for words in (["sweep", "2"], ["2", "sweep"], ["2", "--name", "sweep"]):
        assert cli("scale", *words, "--timeout", "5")[0] == 0
        assert (fleet_client.fleet, fleet_client.asked.pop()) == ("sweep", ("scale", 2, 5.0))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "one number of engines"), (["2", "3"], "not 2 3"), (["0"], "at least one engine"),
        (["-3"], "this one has 3"), (["sweep", "lab", "2"], "one fleet at most"),
        (["x"], "one number of engines, such as 8, +2 or -1, and 'x' is none"),
        (["2.5"], "and '2.5' is none"), (["2", "--timeout", "nan"], "a number, 0 or more, not nan"),
        (["2", "--timeout", "-1"], "--timeout takes a number, 0 or more, not -1"),
        (["2", "--timeout", "inf"], "not inf"),
    ],
)  # fmt: skip
def test_what_is_no_number_of_engines_is_refused(
    cli: CLI, running: Running, fleet_client: Client, words: list[str], told: str
) -> None:
    running()
    code, out, err = cli("scale", *words)
    assert (code, out, fleet_client.asked) == (2, "", [])
    assert told in err


@pytest.mark.parametrize(("error", "code"), [(StartError("no memory"), 1), (CallTimeout("t"), 124)])
def test_what_went_wrong_is_told(
    cli: CLI, running: Running, fleet_client: Client, error: Exception, code: int
) -> None:
    running()
    fleet_client.error = error
    assert cli("scale", "9") == (code, "", f"kernelfleet: {error}\n")
