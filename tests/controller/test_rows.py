"""rows.py: an engine in the words that users see. With simulated ends."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.controller import rows
from kernelfleet.results import EngineInfo
from tests.controller.asking import Asker, with_clients
from tests.controller.simulated import Fleet

# Engine 1 answers when it is released, engine 2 is dead, engine 4 is a kernel of bash.


def test_a_row_says_what_runs_and_under_which_id_it_is_found() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        me.execute(1, label="execute('1')")
        me.execute(1, result_id="waits")
        row = EngineInfo.from_wire(me.at_once("engines")["value"][1])
        assert (row.state, row.running, row.result_id, row.queue) == (
            "busy",
            "execute('1')",
            "r",
            1,
        )
        assert row.running_since is not None
        await fleet.settle()
        row = EngineInfo.from_wire(me.at_once("engines")["value"][1])
        assert (row.state, row.running, row.result_id, row.queue) == ("idle", None, None, 0)
        assert row.executed == 2

    with_clients(test)


def test_what_ends_with_its_client_has_no_id_that_others_could_use() -> None:
    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        me.request("map", targets=[1], result_id="r", label="map(f)")
        row = me.at_once("engines")["value"][1]
        assert (row["running"], row["result_id"]) == ("map(f)", None)
        await fleet.settle()

    with_clients(test)


def test_every_engine_has_a_row_whatever_its_kernel_and_dead_or_not() -> None:
    async def test(_fleet: Fleet, me: Asker, _you: Asker) -> None:
        told = [EngineInfo.from_wire(each) for each in me.at_once("engines")["value"]]
        assert [(each.id, each.state, each.kernel_name) for each in told] == [
            (0, "idle", "kernelfleet"),
            (1, "idle", "kernelfleet"),
            (2, "dead", "kernelfleet"),
            (3, "idle", "python3"),
            (4, "idle", "bash"),
        ]
        assert (told[2].pid, told[2].connection_file) == (None, None)

    with_clients(test)


@pytest.mark.parametrize("busy", [False, True])
def test_a_process_that_is_stopped_is_shown_as_stopped_whatever_it_does(
    busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(pid: int | None) -> dict[str, Any]:
        return {"memory_bytes": pid, "cpu_seconds": 1.5}

    async def test(fleet: Fleet, me: Asker, _: Asker) -> None:
        monkeypatch.setattr(rows, "is_stopped", lambda pid: pid == 4711)
        monkeypatch.setattr(rows, "resource_usage", usage)
        engine = fleet.registry.engines[1]
        assert engine.incarnation is not None
        engine.incarnation.pid = 4711
        if busy:
            me.execute(1)
        row = rows.engine_row(engine)
        assert (row["state"], row["pid"], row["memory_bytes"]) == ("stopped", 4711, 4711)
        assert rows.engine_row(fleet.registry.engines[0])["state"] == "idle"
        await fleet.settle()

    with_clients(test)
