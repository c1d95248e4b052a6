"""operations.py of a node: what only a head asks."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import pytest

from kernelfleet.controller import operations as controllers
from kernelfleet.controller.requests import CallError
from kernelfleet.errors import StartError
from kernelfleet.node.controller import NodeController
from kernelfleet.node.operations import CALLS
from tests.controller.simulated import SimulatedRegistry

LOG = logging.getLogger("tests.node")


class Registry(SimulatedRegistry):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__(LOG)
        self.asked: list[Any] = []
        self.error: StartError | None = None

    async def add(self, kernels: Any, ids: Any = None) -> None:
        self.asked.append(("add", list(kernels), ids))
        if self.error is not None:
            raise self.error

    def unsettled(self) -> list[asyncio.Future[Any]]:
        self.asked.append("settle")
        return []

    def is_ending(self, engine: Any) -> bool:
        del engine
        return False

    async def leave(self, leaving: Any) -> None:
        self.asked.append(("leave", [engine.id for engine in leaving]))

    def recount(self, fleet_size: int) -> None:
        self.asked.append(("recount", fleet_size))


def call(operation: str, registry: Registry, **header: Any) -> tuple[Any, NodeController]:
    async def body() -> tuple[Any, NodeController]:
        node = NodeController("n", registry, CALLS, LOG, lambda: None)
        answer: Any = CALLS[operation](node, "head", header)
        if asyncio.iscoroutine(answer):
            answer = await answer
        await node.stop()
        return answer, node

    return asyncio.run(body())


@pytest.fixture
def registry() -> Registry:
    async def make() -> Registry:
        return Registry()

    return asyncio.run(make())


def test_a_node_answers_all_that_a_controller_does() -> None:
    assert set(controllers.CALLS) < set(CALLS)


def test_engines_are_started_under_their_ids_with_their_environments(registry: Registry) -> None:
    engines: list[dict[str, Any]] = [
        {"id": 7, "kernel": None, "env": {"A": "1"}},
        {"id": 9, "kernel": "r", "env": {}},
    ]
    _, node = call("add_engines", registry, engines=engines, count=12, node="far")
    assert registry.sizes.node == "far"
    assert registry.asked == [("recount", 12), ("add", [None, "r"], [7, 9])]
    assert node.added_variables == {7: {"A": "1"}, 9: {}}


def test_a_start_that_fails_is_refused_with_its_reason(registry: Registry) -> None:
    registry.error = StartError("no room")
    engines: list[dict[str, Any]] = [{"id": 7, "kernel": None, "env": {}}]
    with pytest.raises(CallError, match="no room"):
        call("add_engines", registry, engines=engines, count=1, node="far")
    with pytest.raises(CallError, match="there is an engine 0 here already"):
        call("add_engines", registry, engines=[{"id": 0, "kernel": None, "env": {}}], count=1)


def test_engines_leave_and_the_number_is_told(registry: Registry) -> None:
    call("leave", registry, targets=[0, 3])
    call("recount", registry, count=5)
    call("settle", registry)
    assert registry.asked == [("leave", [0, 3]), ("recount", 5), "settle"]


def test_variables_are_kept_for_the_next_start(registry: Registry) -> None:
    _, node = call("set_variables", registry, engines=[{"id": 7, "env": {"RANK": "7"}}])
    assert node.added_variables == {7: {"RANK": "7"}}


def test_two_different_ports_are_free(registry: Registry) -> None:
    (answer, _), _ = call("free_ports", registry)
    with socket.socket() as one, socket.socket() as other:
        one.bind(("", answer["value"][0]))
        other.bind(("", answer["value"][1]))


def test_a_client_of_the_head_is_forgotten(registry: Registry) -> None:
    answer, _ = call("forget_owner", registry, owner="somebody")
    assert answer == ({"value": None}, [])
    answer, _ = call("follow", registry, result_id="unknown", follower="f")
    assert answer == ({"value": False}, [])
