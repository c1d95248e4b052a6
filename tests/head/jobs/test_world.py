"""world.py, as far as no process is needed; the whole of it is held by test_worlds.py."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from kernelfleet.controller.options import FleetOptions
from kernelfleet.errors import StartError
from kernelfleet.head.jobs import world as module
from kernelfleet.head.jobs.world import WorldOnNodes
from kernelfleet.head.node import Node
from kernelfleet.provisioners.mpi import launcher
from kernelfleet.wire.files import fleet_paths


class FakeNode:
    """Answers everything, and has its ranks report when it is asked to listen for them."""

    reason = "its host is gone"

    def __init__(self, name: str, ranks: list[int], python: str = "python") -> None:
        self.name = self.host = name
        self.python = python
        self.ranks, self.asked = ranks, []  # type: tuple[list[int], list[tuple[str, Any]]]
        self.on_world: Any = None

    async def ask(self, operation: str, **fields: Any) -> tuple[dict[str, Any], list[Any]]:
        self.asked.append((operation, fields))
        if operation == "open_world":
            for rank in self.ranks:
                self.says(rank, rank=rank, size=fields["size"])
        return {"value": True}, []

    def says(self, of: int, **said: Any) -> None:
        self.on_world(self, {"of": of, **said})


def places(*nodes: FakeNode) -> list[Node]:
    return [cast("Node", node) for node in nodes]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "WORD_SECONDS", 0.05)
    monkeypatch.setattr(launcher, "END_SECONDS", 0.01)
    monkeypatch.setattr(fleet_paths, "log_dir", lambda name: tmp_path / "a" / "b" / name)


def world(died: Any = lambda _: None) -> WorldOnNodes:
    return WorldOnNodes(FleetOptions.of(3, mpiexec="sh -c 'sleep 60'", name="w"), died)


def test_each_rank_is_where_it_has_reported_and_not_where_it_was_meant_to_be() -> None:
    async def trial() -> None:
        one, two = FakeNode("one", [2]), FakeNode("two", [0, 1])
        trial = world()
        assert await trial.begin(places(one, one, two)) == places(two, two, one)
        await trial.end("over")
        assert one.asked[-1] == ("end_world", {"reason": "over"})

    asyncio.run(trial())


def test_hosts_with_different_interpreters_are_refused() -> None:
    async def trial() -> None:
        one, two = FakeNode("one", []), FakeNode("two", [], "/other/python")
        with pytest.raises(StartError, match="one has python, but two has /other/python"):
            await world().begin(places(one, two))

    asyncio.run(trial())


def test_the_rank_at_fault_is_told_to_all_nodes() -> None:
    async def trial() -> None:
        burials: list[asyncio.Task[None]] = []
        one, two = FakeNode("one", [0, 1]), FakeNode("two", [2])
        trial = world(burials.append)
        await trial.begin(places(one, one, two))
        two.says(2, ended=-9, told=True, words="")
        one.says(1, ended=3, told=False, words="")
        await burials[0]
        verdict = {"rank": 1, "code": 3, "text": ""}
        assert one.asked[-1] == two.asked[-1] == ("judge_world", verdict)
        assert len(burials) == 1
        await trial.end("over")

    asyncio.run(trial())


def test_a_lost_node_is_at_fault_and_named_with_its_ranks() -> None:
    async def trial() -> None:
        burials: list[asyncio.Task[None]] = []
        one, two = FakeNode("one", [0]), FakeNode("two", [1, 2])
        trial = world(burials.append)
        await trial.begin(places(one, two, two))
        trial.node_lost(cast("Node", two))
        await burials[0]
        text = "the node two is lost (its host is gone) with rank 1, 2"
        assert one.asked[-1] == ("judge_world", {"rank": None, "code": None, "text": text})
        await trial.end("over")
        trial.node_lost(cast("Node", one))  # nothing is left that could end
        assert len(burials) == 1

    asyncio.run(trial())
