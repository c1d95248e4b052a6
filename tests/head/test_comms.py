"""comms.py of the head: widgets of engines on all nodes, for whoever shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.client.comms import CommLink, Said
from kernelfleet.wire.messages.comms import CommMessage
from tests.fleets import eventually
from tests.nodes import node_processes

#: A widget without ipywidgets.
OPEN = """
from comm import create_comm
comm = create_comm("jupyter.widget", data={"state": {"value": engine_id}, "buffer_paths": []})
heard = []
comm.on_msg(lambda msg: (heard.append(msg["content"]["data"]["state"]["value"]), print("heard")))
"""


class Bridge:
    """Notes what it is told."""

    def __init__(self, client: MultiEngineClient, name: str) -> None:
        self.said: list[Said] = []
        self.link = CommLink(client, name, list, self.said.extend, lambda _: None)

    def of(self, msg_type: str) -> list[Said]:
        return [each for each in self.said if each[1].msg_type == msg_type]


@pytest.fixture
def bridge(mec: MultiEngineClient) -> Iterator[Bridge]:
    yield Bridge(mec, "b")
    mec.execute("del comm, heard")


def opened(mec: MultiEngineClient, bridge: Bridge) -> dict[int, str]:
    """A widget on each engine; its ids."""
    mec.execute(OPEN)
    eventually(lambda: len(bridge.of("comm_open")) == 4)
    return {engine: said.comm_id for engine, said in bridge.of("comm_open")}


def update(comm_id: str, value: int) -> CommMessage:
    data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
    return CommMessage("comm_msg", comm_id, data)


def test_what_engines_of_all_nodes_open_is_told_and_events_go_back(
    mec: MultiEngineClient, bridge: Bridge
) -> None:
    ids = opened(mec, bridge)
    ends: list[Any] = []
    outputs: list[Any] = []
    for engine in (0, 3):
        said = update(ids[engine], 10 + engine)
        bridge.link.send(engine, said, lambda *out: outputs.append(out), ends.append)
    eventually(lambda: ends == [None, None])
    assert mec["heard"] == [[10], [], [], [13]]
    assert {engine for engine, _, _ in outputs} == {0, 3}
    mec.execute("comm.send({'method': 'update', 'state': {'value': 5}, 'buffer_paths': []})")
    eventually(lambda: len(bridge.of("comm_msg")) == 4)
    states = {engine: said.data["state"]["value"] for engine, said in bridge.link.states()}
    assert states == dict.fromkeys(range(4), 5)


def test_another_bridge_joins_what_it_has_not_got(mec: MultiEngineClient, bridge: Bridge) -> None:
    ids = opened(mec, bridge)
    with MultiEngineClientOf(mec) as client:
        other = Bridge(client, "c")
        other.link.join(2, ids[2])
        assert [(engine, said.comm_id) for engine, said in other.said] == [(2, ids[2])]
        mec.execute("comm.send({'method': 'update', 'state': {'value': 9}})")
        eventually(lambda: len(other.of("comm_msg")) == 1)
        assert [engine for engine, _ in other.link.states()] == [2]


class MultiEngineClientOf:
    """Another client of the same fleet."""

    def __init__(self, mec: MultiEngineClient) -> None:
        self._name = str(mec._connection.fleet["name"])

    def __enter__(self) -> MultiEngineClient:
        self._client = MultiEngineClient(self._name)
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()


@pytest.mark.slow
def test_a_lost_node_closes_the_widgets_of_its_engines_and_says_why(
    start: Callable[..., MultiEngineClient],
) -> None:
    before = set(node_processes())
    mec = start(2)
    victim = min(set(node_processes()) - before, key=lambda each: each.pid)
    bridge = Bridge(mec, "b")
    mec.execute(OPEN)
    eventually(lambda: len(bridge.of("comm_open")) == 2)
    victim.kill()
    eventually(lambda: len(bridge.of("comm_close")) == 1)
    ((engine, said),) = bridge.of("comm_close")
    assert engine not in mec.get_ids()
    assert "is lost" in said.data["reason"]
