from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

from kernelfleet.cli.commands.status import fleet_cells, refusals
from kernelfleet.wire.files.connection_file import FleetFile

CLI = Callable[..., tuple[int, str, str]]
Running = Callable[..., FleetFile]


def test_no_fleet_is_told_with_a_remedy(cli: CLI) -> None:
    assert cli("list") == (0, "No fleet is running; `kernelfleet start -n 4` starts one.\n", "")
    code, out, err = cli("status")
    assert (code, out) == (11, "")
    assert "start one with `kernelfleet start" in err


def test_the_list_has_a_row_per_fleet(cli: CLI, running: Running) -> None:
    running("default", tcp="tcp://127.0.0.1:10105")
    file = running("sweep")
    code, out, _ = cli("list")
    header, _, first, second = [line.split() for line in out.splitlines()]
    assert code == 0
    assert header[:5] == ["fleet", "engines", "owner", "pid", "up"]
    assert first[:9] == [
        "default",
        "no",
        "answer",
        "daemon",
        str(os.getpid()),
        "1",
        "min",
        "5",
        "s",
    ]
    assert "127.0.0.1:10105" in first
    assert second[0] == "sweep"
    assert second[-2:] == ["-", str(file.path)]  # whole, however long


def test_the_list_tells_whose_an_embedded_fleet_is(cli: CLI, running: Running) -> None:
    running("a-1", embedded=True, ipc="ipc:///x", owner="notebook", owner_path="/data/a.ipynb")
    running("b-2", embedded=True, ipc="ipc:///x", owner="session")
    _, out, _ = cli("list")
    _, _, first, second = out.splitlines()
    assert " /data/a.ipynb " in first
    assert " session " in second


def test_the_list_as_json_has_a_version_and_no_secrets(cli: CLI, running: Running) -> None:
    file = running("sweep")
    _, out, _ = cli("list", "--json")
    assert json.loads(out) == {
        "version": 1,
        "fleets": [
            {
                "name": "sweep",
                "pid": os.getpid(),
                "host": "here",
                "started": file.started,
                "tcp": None,
                "connection_file": str(file.path),
                "embedded": False,
                "owner": "daemon",
                "owner_path": None,
                "cluster": None,
                "engines": None,
                "dead": None,
            }
        ],
    }
    assert "secret" not in out


def test_the_list_tells_how_many_engines_live_and_how_many_are_dead() -> None:
    facts = {"name": "a", "pid": 1, "started": time.time(), "tcp": None, "connection_file": "f"}
    facts |= {"owner": "daemon", "owner_path": None}
    assert fleet_cells({**facts, "engines": 4, "dead": 0})[1] == "4"
    assert fleet_cells({**facts, "engines": 3, "dead": 1})[1] == "3 (1 dead)"


def test_what_was_refused_is_told_in_numbers() -> None:
    assert refusals({"connections": 3, "messages": 0}) == (
        "Refused so far: 3 connections without the keys of this fleet."
    )
    assert "1 connection, 12 messages " in refusals({"connections": 1, "messages": 12})
