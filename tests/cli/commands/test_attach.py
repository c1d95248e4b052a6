from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest

from kernelfleet.cli.commands import attach
from kernelfleet.wire.files.connection_file import FleetFile
from tests.cli.commands.clients import Client

CLI = Callable[..., tuple[int, str, str]]
Running = Callable[..., FleetFile]


def test_a_console_is_opened_on_the_engines_connection_file(
    cli: CLI, running: Running, fleet_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def run_console(path: str) -> int:
        opened.append(path)
        return 7

    monkeypatch.setattr(attach, "run_console", run_console)
    monkeypatch.setattr(attach, "check_console", lambda: None)
    running("sweep")
    assert cli("attach", "sweep", "0") == (7, "", "")
    assert (opened, fleet_client.fleet) == (["f-0.json"], "sweep")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "which engine?"), (["0", "1"], 2, "which engine?"),
        (["2"], 1, "runs on far: run `jupyter console --existing f-2.json` there"),
        (["5"], 1, "is dead: `kernelfleet restart 5` starts it"),
        (["7"], 1, "no engine 7, only 0, 1, 2, 5"),
    ],
)  # fmt: skip
def test_where_no_console_can_be_opened_is_told_with_what_to_do(
    cli: CLI, running: Running, fleet_client: Client, words: list[str], code: int, told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(attach, "check_console", lambda: None)
    running()
    answer, out, err = cli("attach", *words)
    assert (answer, out) == (code, "")
    assert told in err
    del fleet_client


def test_without_jupyter_console_it_says_what_to_install(
    cli: CLI, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, err = cli("attach", "0")
    assert code == 1
    assert "`pip install jupyter-console`" in err
