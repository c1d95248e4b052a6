"""base.py: what every controller does; its two kinds are tested with their engines."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.controller.simulated import Fleet, SimulatedClient


def ask(fleet: Fleet, client: SimulatedClient, **header: Any) -> Any:
    n = client.ask(header)
    return client.headers.get(n)


def test_an_operation_that_this_kind_of_controller_lacks_is_refused_by_name() -> None:
    async def test() -> None:
        fleet = Fleet()
        client = SimulatedClient(fleet, "c")
        reply = ask(fleet, client, operation="recount", count=3)
        assert reply["refused"]["ename"] == "UnsupportedOperation"
        assert "a controller of this kind does not do recount" in reply["refused"]["evalue"]
        fleet.close()
        await fleet.controller.stop()

    asyncio.run(asyncio.wait_for(test(), 10))


def test_an_error_clears_only_what_was_asked_for_the_same_owner() -> None:
    async def test() -> None:
        fleet = Fleet()
        client = SimulatedClient(fleet, "head")
        for result_id, owner in (("r1", "a"), ("r2", "b")):
            client.ask(
                {"operation": "execute", "targets": [1], "result_id": result_id, "owner": owner,
                 "content": {"code": "1"}, "keep": False}
            )  # fmt: skip
        owners = [each.client for each in fleet.controller.running.values()]
        assert owners == ["a", "b"]
        fleet.controller.forget_owner("a")
        fleet.close()
        await fleet.controller.stop()

    asyncio.run(asyncio.wait_for(test(), 10))
