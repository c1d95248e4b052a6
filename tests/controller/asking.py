"""A simulated fleet and its clients in one test, in few words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from kernelfleet.controller.limits import Limits
from tests.controller.simulated import Fleet, SimulatedClient

JsonDict = dict[str, Any]


class Asker(SimulatedClient):
    """A client that is answered by the name of the operation."""

    def request(self, operation: str, *, buffers: tuple[bytes, ...] = (), **fields: Any) -> int:
        """Ask for something; returns the number under which ``headers`` has the answer."""
        return self.ask({"operation": operation, **fields}, buffers)

    def execute(self, *targets: int, result_id: str = "r", **fields: Any) -> int:
        """Ask for a cell."""
        content = {"code": "1"}
        return self.request(
            "execute", targets=list(targets), result_id=result_id, content=content, **fields
        )

    def at_once(self, operation: str, **fields: Any) -> JsonDict:
        """What is answered while nothing else happens."""
        return self.headers[self.request(operation, **fields)]

    def leave(self) -> None:
        """Be gone for good, as the controller sees it."""
        self._fleet.controller.disconnect(self.session.name)

    def errors(self, n: int) -> list[str | None]:
        """The name of each target's error in an answer; None where there is none."""
        results = self.headers[n]["results"]
        return [None if each["ok"] else each["error"]["ename"] for each in results]


def with_clients(
    test: Callable[[Fleet, Asker, Asker], Awaitable[None]], limits: Limits | None = None
) -> None:
    """Run a test with a fleet and two clients; what is logged as an error fails it."""

    async def body() -> None:
        fleet = Fleet(limits)
        try:
            await test(fleet, Asker(fleet, "me"), Asker(fleet, "you"))
            assert fleet.complaints == []
        finally:
            fleet.close()

    asyncio.run(asyncio.wait_for(body(), 20))


def refusal(answer: JsonDict) -> str:
    """Name and text of why a request was not taken."""
    return f"{answer['refused']['ename']}: {answer['refused']['evalue']}"
