"""controller.py of a node: it lives as long as its head, and tells followers all in one order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from kernelfleet.controller.requests import Request
from kernelfleet.node import controller as module
from kernelfleet.node.controller import NodeController
from kernelfleet.node.operations import CALLS
from kernelfleet.wire.operations import OPERATIONS
from kernelfleet.wire.outputs import read_pages
from tests.controller.simulated import SimulatedRegistry
from tests.fleets import until

LOG = logging.getLogger("tests.node")


class Head:
    """The session of a head, which keeps what it is sent."""

    has_room, is_behind = True, False

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, Any], list[Any]]] = []

    def deliver(self, header: dict[str, Any], buffers: list[Any]) -> None:
        self.heard.append((header, buffers))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [header for header, _ in self.heard if header.get("event") == name]


def run(test: Callable[[NodeController, list[str]], Awaitable[None]]) -> None:
    async def body() -> None:
        ended: list[str] = []
        registry: Any = SimulatedRegistry(LOG)
        node = NodeController("n", registry, CALLS, LOG, lambda: ended.append("asked to stop"))
        await test(node, ended)
        await node.stop()

    asyncio.run(asyncio.wait_for(body(), 10))


def test_it_ends_when_no_head_comes(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.01)

    async def test(node: NodeController, ended: list[str]) -> None:
        await until(lambda: ended == ["asked to stop"])

    run(test)


def test_it_ends_with_its_head_and_says_why_when_told_to(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.01)

    async def test(node: NodeController, ended: list[str]) -> None:
        head = Head()
        node.connect("head", head)
        await asyncio.sleep(0.05)
        assert ended == []
        node.end("it is retired")
        assert head.events("stopping") == [
            {"type": "event", "event": "stopping", "reason": "it is retired"}
        ]
        node.disconnect("head")
        assert len(ended) == 2

    run(test)


def test_other_kernels_are_described_to_the_head() -> None:
    async def test(node: NodeController, _: list[str]) -> None:
        portable = node.known_engines()["portable"]
        assert portable["4"]["language"] == "bash"
        assert portable["3"]["kernel"] == "python3"
        assert "0" not in portable

    run(test)


def request(n: int, **fields: Any) -> dict[str, Any]:
    return {
        "type": "request", "n": n, "operation": "execute", "targets": [1], "result_id": "r",
        "content": {"code": "1"}, "owner": "somebody", "keep": False, **fields,
    }  # fmt: skip


def test_a_follower_is_told_what_was_before_and_then_what_comes() -> None:
    async def test(node: NodeController, _: list[str]) -> None:
        head = Head()
        node.connect("head", head)
        node.handle("head", request(7), [])
        running: Request = node.running["r"]
        assert running.operation is OPERATIONS["execute"]
        assert running.client == "somebody"
        assert node.follow("head", "r", "f1")
        assert not node.follow("head", "unknown", "f1")
        engine: Any = node.registry
        engine.channels[1].release()
        outputs = [(h, b) for h, b in head.heard if h.get("event") == "output"]
        assert [h["to"] for h, _ in outputs] == [7] * len(outputs)
        streamed = [p.msg_type for h, b in outputs if "follower" not in h for p in read_pages(b)]
        assert streamed == ["stream", "display_data", "error"]
        [followed] = head.events("followed")
        assert (followed["to"], followed["follower"]) == (7, "f1")
        await asyncio.sleep(0)
        assert not node.follow("head", "r", "f2")  # it has ended

    run(test)
