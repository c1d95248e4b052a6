"""ranks.py: on many nodes, ranks know their number where they are, and meet where rank 0 is."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, cast

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import StartError, UnsupportedOperation
from kernelfleet.head.jobs.ranks import RanksOnNodes
from kernelfleet.head.node import Node
from tests.fleets import eventually
from tests.nodes import node_processes

Start = Callable[..., MultiEngineClient]

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
MEETING = ("MASTER_ADDR", "MASTER_PORT", "JAX_COORDINATOR_ADDRESS")


def told(mec: MultiEngineClient, names: tuple[str, ...]) -> list[list[str | None]]:
    return mec.apply(lambda names: [os.environ.get(name) for name in names], names)


def meeting(mec: MultiEngineClient) -> list[str | None]:
    first, *others = told(mec, MEETING)
    assert others == [first] * len(others)
    return first


def test_ranks_of_two_nodes_are_one_job_whose_ports_are_new_when_all_are_restarted(
    start: Start,
) -> None:
    mec = start(4, ranks=True, gpus=2, env={"JAX_PROCESS_ID": "mine"})
    assert told(mec, NAMES) == [
        ["0", "4", "0", "2"],
        ["1", "4", "0", "2"],
        ["2", "4", "1", "2"],
        ["3", "4", "1", "2"],
    ]
    places = [each.value for each in mec.execute("(local_rank, local_size)")]
    assert places == [(0, 2), (0, 2), (1, 2), (1, 2)]
    gpus = told(mec, ("CUDA_VISIBLE_DEVICES", "JAX_PROCESS_ID"))
    assert gpus == [["0", "mine"], ["0", "mine"], ["1", "mine"], ["1", "mine"]]
    address, port, jax = before = meeting(mec)
    assert (address, str(jax).partition(":")[0]) == ("127.0.0.1", "127.0.0.1")
    with pytest.raises(UnsupportedOperation, match=r"they are 4 ranks \(WORLD_SIZE\)"):
        mec.scale(5)
    mec.restart(1)
    assert meeting(mec) == before
    with socket.socket() as in_use:  # of the job before, as rank 0 may have left it
        in_use.bind(("127.0.0.1", int(str(port))))
        in_use.listen()
        mec.restart()
        after = meeting(mec)
        assert not {port, jax} & {*after[1:]}
    assert told(mec, ("JAX_PROCESS_ID",)) == [["mine"]] * 4


def test_ranks_whose_node_is_lost_meet_elsewhere_after_a_restart_of_all(start: Start) -> None:
    before = set(node_processes())
    mec = start(4, ranks=True)
    old = meeting(mec)
    nodes = {engine.id: engine.node for engine in mec.engines()}
    mec.execute("import os, psutil\npids = [p.pid for p in psutil.Process().parents()]")
    above = mec.pull("pids", targets=0)[0]
    (victim,) = (each for each in set(node_processes()) - before if each.pid in above)
    victim.kill()
    eventually(lambda: mec.get_ids() == [1, 3])
    mec.restart("all", timeout=30)
    assert meeting(mec)[1:] != old[1:]
    sizes = {engine.node for engine in mec.engines()}
    assert sizes == {nodes[1]} or len(sizes) == 2
    local = [each.value for each in mec.execute("(local_rank, local_size)")]
    assert told(mec, NAMES) == [
        [str(rank), "4", str(local[rank][0]), str(local[rank][1])] for rank in range(4)
    ]


class SimulatedNode:
    """Finds ports free, and keeps what it is told."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.port = 100
        self.told: list[tuple[int, str, str]] = []
        self.is_lost = False

    async def ask(self, operation: str, **fields: Any) -> Any:
        if self.is_lost:
            raise ConnectionError(f"its node {self.name} is lost")
        if operation == "free_ports":
            self.port += 2
            return {"value": [self.port, self.port + 1]}, []
        assert operation == "set_variables"
        for each in fields["engines"]:
            env = each["env"]
            self.told.append((each["id"], env["LOCAL_RANK"], env["JAX_COORDINATOR_ADDRESS"]))
        return {"value": None}, []


def arrange(ranks: RanksOnNodes, *nodes: SimulatedNode) -> None:
    places = dict(enumerate(cast("list[Node]", nodes)))
    asyncio.run(ranks.arrange(places, lambda _: {}))


def test_only_what_has_changed_is_told() -> None:
    ranks = RanksOnNodes()
    a, b = SimulatedNode("a", "10.0.0.1"), SimulatedNode("b", "fd00::2")
    arrange(ranks, a, b, a)
    assert a.told == [(0, "0", "10.0.0.1:103"), (2, "1", "10.0.0.1:103")]
    assert b.told == [(1, "0", "10.0.0.1:103")]
    a.told.clear()
    arrange(ranks, a, b, a)
    assert a.told == []
    ranks.renew()
    arrange(ranks, a, b, a)
    assert a.told == [(0, "0", "10.0.0.1:105"), (2, "1", "10.0.0.1:105")]
    b.told.clear()
    arrange(ranks, b, b, b)  # rank 0 is elsewhere, and engine 1 keeps its number there
    assert b.told == [
        (0, "1", "[fd00::2]:103"),
        (1, "0", "[fd00::2]:103"),
        (2, "2", "[fd00::2]:103"),
    ]
    assert ranks.variables[0]["MASTER_ADDR"] == "fd00::2"


def test_ranks_that_could_not_meet_are_an_error_before_anything_starts() -> None:
    near, far = SimulatedNode("near", "127.0.0.1"), SimulatedNode("far", "10.0.0.2")
    with pytest.raises(StartError, match=r"rank 0, near, .* far \(10\.0\.0\.2\) cannot reach it"):
        arrange(RanksOnNodes(), near, far)
    arrange(RanksOnNodes(), far, near)
    far.is_lost = True
    with pytest.raises(StartError, match="rank 0: its node far is lost"):
        arrange(RanksOnNodes(), far, far)
