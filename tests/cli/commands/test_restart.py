"""``kernelfleet restart``: which engines, and what is told."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet import StartError
from kernelfleet.client import client as client_module
from kernelfleet.errors import CallTimeout
from kernelfleet.wire.files.connection_file import FleetFile

CLI = Callable[..., tuple[int, str, str]]
Running = Callable[..., FleetFile]


class Client:
    """Stands in for a client of a fleet with the engines 0, 1, 2 and 5."""

    restarted: Any = None
    error: Exception | None = None

    def __init__(self, name: str) -> None:
        Client.fleet = name

    fleet = ""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def engines(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(id=i) for i in (0, 1, 2, 5)]

    def restart(self, targets: Any, block: bool, timeout: float) -> None:
        assert block
        Client.restarted = targets
        if Client.error is not None:
            raise Client.error


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    monkeypatch.setattr(client_module, "MultiEngineClient", Client)
    Client.restarted = Client.error = None
    return Client


@pytest.mark.parametrize(
    ("words", "targets", "told"),
    [
        ([], [0, 1, 2, 5], "0, 1, 2, 5"),
        (["all"], [0, 1, 2, 5], "0, 1, 2, 5"),
        (["2"], [2], "2"),
        (["0,5"], [0, 5], "0, 5"),
        (["1:"], [1, 2, 5], "1, 2, 5"),
    ],
)
def test_which_engines(
    cli: CLI, running: Running, client: type[Client], words: list[str], targets: Any, told: str
) -> None:
    running()
    assert cli("restart", *words) == (0, f"Restarted in fleet 'default': {told}.\n", "")
    assert client.restarted == targets


def test_another_fleet_by_its_name(cli: CLI, running: Running, client: type[Client]) -> None:
    running()
    running("sweep")
    for words in (["0", "--name", "sweep"], ["sweep", "0"], ["0", "sweep"]):
        client.fleet, client.restarted = "", None
        assert cli("restart", *words)[0] == 0
        assert (client.fleet, client.restarted) == ("sweep", [0])


def test_no_fleet_is_told(cli: CLI) -> None:
    assert cli("restart")[0] == 11
    code, _, err = cli("restart", "--name", "sweep")
    assert code == 11
    assert "no fleet 'sweep' is running" in err


@pytest.mark.parametrize("words", [["1:2:0"], ["0", "2"]])
def test_what_is_no_target_is_refused(
    cli: CLI, running: Running, client: type[Client], words: list[str]
) -> None:
    running()
    code, out, err = cli("restart", *words)
    assert (code, out) == (2, "")
    assert "kernelfleet restart --help" in err
    assert client.restarted is None


@pytest.mark.parametrize(
    ("error", "code"),
    [(StartError("on_start code failed"), 1), (CallTimeout("restart has not ended"), 124)],
)
def test_what_went_wrong_is_told(
    cli: CLI, running: Running, client: type[Client], error: Exception, code: int
) -> None:
    running()
    client.error = error
    assert cli("restart") == (code, "", f"kernelfleet: {error}\n")
