"""What a client can import reaches each engine once, and again where it has been let go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from kernelfleet.controller.engines.state import EngineState
from kernelfleet.wire.jupyter import decode, encode_compact
from kernelfleet.wire.messages import JsonDict
from tests.controller.simulated import Fleet, SimulatedClient


class Watched(Fleet):
    """A fleet of which is noted what engine 0 is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.contents: list[JsonDict] = []
        channels = self.registry.channels[0]
        usual = channels.send

        def send(channel: str, identity: bytes, frames: Any) -> None:
            if channel == "shell":
                said = decode(self.registry.session, [identity, *frames])
                self.contents.append(said.content)
            usual(channel, identity, frames)

        channels.send = send  # type: ignore[method-assign]

    def told(self) -> list[tuple[str | None, str | None]]:
        """Name and text of each request."""
        return [(each.get("imports"), each.get("imports_text")) for each in self.contents]


def with_fleet(test: Callable[[Watched, SimulatedClient], Awaitable[None]]) -> None:
    async def body() -> None:
        fleet = Watched()
        try:
            await test(fleet, SimulatedClient(fleet, "me"))
            assert fleet.complaints == []
        finally:
            fleet.close()

    asyncio.run(body())


async def ask(fleet: Fleet, client: SimulatedClient, **fields: Any) -> JsonDict:
    number = client.n + 1
    header = {"operation": "execute", "content": {"code": "1"}, "targets": [0]}
    client.ask({**header, "result_id": f"{client.name}-{number}", **fields})
    await fleet.settle()
    return client.headers[number]


def test_a_text_is_sent_once_and_named_then() -> None:
    async def test(fleet: Watched, client: SimulatedClient) -> None:
        await ask(fleet, client, imports="a", imports_text="A")
        await ask(fleet, client, imports="a")
        await ask(fleet, client, imports="b", imports_text="B")
        await ask(fleet, client)
        assert fleet.told() == [("a", "A"), ("a", None), ("b", "B"), (None, None)]

    with_fleet(test)


def test_an_incarnation_that_has_not_had_it_gets_it() -> None:
    async def test(fleet: Watched, client: SimulatedClient) -> None:
        await ask(fleet, client, imports="a", imports_text="A")
        engine = fleet.registry.engines[0]
        incarnation, channels = engine.incarnation, engine.channels
        assert incarnation is not None
        assert channels is not None
        engine.detach(EngineState.DEAD, "EngineDied", "killed by signal 9")
        engine.attach(incarnation, channels)
        engine.ready()
        await ask(fleet, client, imports="a")
        assert fleet.told() == [("a", "A"), ("a", "A")]

    with_fleet(test)


def test_an_engine_that_has_let_it_go_gets_it_again() -> None:
    async def test(fleet: Watched, client: SimulatedClient) -> None:
        await ask(fleet, client, imports="a", imports_text="A")
        aborted = [True]

        def forgets(channel: str, frames: list[bytes]) -> list[tuple[str, list[bytes]]]:
            if channel != "shell" or not aborted:
                return [(channel, frames)]
            aborted.clear()
            channels = fleet.registry.channels[0]
            session, said = channels._session, decode(channels._session, frames)
            content = {"status": "aborted"}
            reply = encode_compact(session, said.msg_type, said.parent_id, content)
            return [(channel, [frames[0], *reply])]

        fleet.registry.channels[0].tamper = forgets
        reply = await ask(fleet, client, imports="a")
        assert reply["results"][0]["ok"]
        assert fleet.told() == [("a", "A"), ("a", None), ("a", "A")]

    with_fleet(test)


def test_of_two_clients_each_has_its_own() -> None:
    async def test(fleet: Watched, client: SimulatedClient) -> None:
        other = SimulatedClient(fleet, "other")
        await ask(fleet, client, imports="a", imports_text="A")
        await ask(fleet, other, imports="b", imports_text="B")
        await ask(fleet, client, imports="a")
        assert fleet.told() == [("a", "A"), ("b", "B"), ("a", None)]

    with_fleet(test)


def test_what_was_never_told_is_refused_and_what_came_with_a_refused_request_is_known() -> None:
    async def test(fleet: Watched, client: SimulatedClient) -> None:
        reply = await ask(fleet, client, imports="a")
        assert "call again" in reply["refused"]["evalue"]
        reply = await ask(fleet, client, imports="a", imports_text="A", targets=[77])
        assert reply["refused"]["ename"] == "InvalidEngineID"
        reply = await ask(fleet, client, imports="a")
        assert reply["results"][0]["ok"]
        assert fleet.told() == [("a", "A")]

    with_fleet(test)


def test_a_client_that_has_left_leaves_nothing() -> None:
    async def test(fleet: Watched, client: SimulatedClient) -> None:
        await ask(fleet, client, imports="a", imports_text="A")
        assert len(fleet.controller._imports) == 1
        client.send({"type": "bye"})
        assert len(fleet.controller._imports) == 0

    with_fleet(test)
