"""node.py: a node is asked over its session, and is lost once, for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kernelfleet.head import node as node_module
from kernelfleet.head.node import Node
from kernelfleet.head.timing import TIMES_OF_A_NODE

KNOWN = {"ids": [1], "dead": {}, "total": 1, "pythons": {}}


class Transport:
    """Numbers messages, and keeps them."""

    def __init__(self, endpoint: Any, receiver: Any, times: Any) -> None:
        del endpoint
        self.receiver, self.times = receiver, times
        self.sent: list[dict[str, Any]] = []
        self.closed = False

    def number(self, header: dict[str, Any], buffers: list[Any]) -> dict[str, Any]:
        del buffers
        return {**header, "n": len(self.sent) + 1}

    def send(self, numbered: dict[str, Any], buffers: list[Any]) -> None:
        del buffers
        self.sent.append(numbered)

    def close(self) -> None:
        self.closed = True


class Watcher:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def node_changed(self, node: Node) -> None:
        self.heard.append(f"changed {sorted(node.registered)}")

    def node_lost(self, node: Node) -> None:
        self.heard.append(f"lost {node.reason}")


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "SocketTransport", Transport)


def run(test: Callable[[Node, Transport, Watcher], Awaitable[None]]) -> None:
    async def body() -> None:
        loop, watcher = asyncio.get_running_loop(), Watcher()
        endpoint: Any = type("Endpoint", (), {"loop": loop, "url": "tcp://[fd00::1]:4711"})()
        node = Node("far", "w1", 2, endpoint, watcher, TIMES_OF_A_NODE)
        transport: Any = node._transport
        await test(node, transport, watcher)

    asyncio.run(asyncio.wait_for(body(), 10))


def test_it_is_ready_when_it_has_told_its_engines() -> None:
    async def test(node: Node, transport: Transport, watcher: Watcher) -> None:
        assert transport.times is TIMES_OF_A_NODE
        assert node.address == "fd00::1"
        assert not node.ready.done()
        transport.receiver.receive({"type": "welcome", "roster": KNOWN}, [])
        await node.ready
        assert node.registered == {1}
        roster = {**KNOWN, "ids": [1, 4]}
        transport.receiver.receive({"type": "event", "event": "roster", "roster": roster}, [])
        assert watcher.heard == ["changed [1, 4]"]

    run(test)


def test_replies_and_events_go_to_whoever_asked() -> None:
    async def test(node: Node, transport: Transport, _: Watcher) -> None:
        heard: list[Any] = []
        node.send(
            {"operation": "execute"}, [], lambda *a: heard.append(a), lambda *e: heard.append(e)
        )
        asked = asyncio.ensure_future(node.ask("engines"))
        await asyncio.sleep(0)
        assert [each["operation"] for each in transport.sent] == ["execute", "engines"]
        assert node.is_waiting
        event = {"type": "event", "event": "output", "to": 1}
        transport.receiver.receive(event, [b"page"])
        transport.receiver.receive({"type": "reply", "to": 1}, [b"frame"])
        transport.receiver.receive({"type": "reply", "to": 2, "value": 5}, [])
        transport.receiver.receive(event, [b"late"])
        assert heard == [(event, [b"page"]), ({"type": "reply", "to": 1}, [b"frame"])]
        assert (await asked)[0]["value"] == 5
        assert not node.is_waiting

    run(test)


def test_a_lost_node_fails_what_it_was_asked_after_its_engines_are_known_to_be_dead() -> None:
    async def test(node: Node, transport: Transport, watcher: Watcher) -> None:
        node.send({"operation": "execute"}, [], lambda header, _: watcher.heard.append(str(header)))
        asked = asyncio.ensure_future(node.ask("engines"))
        await asyncio.sleep(0)
        transport.receiver.away("no answer for 10 s")
        assert watcher.heard == ["lost no answer for 10 s", "None"]
        with pytest.raises(ConnectionError, match="node far is lost: no answer for 10 s"):
            await asked
        with pytest.raises(ConnectionError):
            await node.ready
        transport.receiver.lost("again")
        assert len(watcher.heard) == 2
        await asyncio.sleep(0)
        assert transport.closed
        node.send({"operation": "late"}, [], lambda header, _: watcher.heard.append(str(header)))
        assert watcher.heard[2:] == ["None"]
        assert node.is_lost

    run(test)


def test_what_a_node_says_of_its_end_is_why_it_is_lost() -> None:
    async def test(node: Node, transport: Transport, watcher: Watcher) -> None:
        stopping = {"type": "event", "event": "stopping", "reason": "its Dask worker was closed"}
        answered: list[object] = []
        node.send({"operation": "ping"}, [], lambda header, _: answered.append(header))
        transport.receiver.receive(stopping, [])
        # at once: what its engines would answer is that their fleet is stopped, and this one is not
        assert watcher.heard == ["lost its Dask worker was closed"]
        assert answered == [None]
        transport.receiver.lost("the fleet was stopped")
        assert watcher.heard == ["lost its Dask worker was closed"]
        assert node.ended.is_set()

    run(test)


def test_a_node_that_is_left_is_not_reported_as_lost() -> None:
    async def test(node: Node, transport: Transport, watcher: Watcher) -> None:
        node.close()
        await asyncio.sleep(0)
        assert transport.closed
        assert watcher.heard == []
        node.lose("late")
        assert watcher.heard == []

    run(test)
