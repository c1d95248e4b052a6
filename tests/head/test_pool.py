"""pool.py: nodes are started where engines need them; what is wrong with one is told."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.clusters.base import Started, Worker
from kernelfleet.clusters.ssh import SSHHosts
from kernelfleet.controller.options import FleetOptions
from kernelfleet.errors import StartError
from kernelfleet.head import pool as module
from kernelfleet.head import pool as pool_module
from kernelfleet.head.pool import NodePool, in_thread
from tests.fleets import eventually, until
from tests.nodes import node_processes

Start = Callable[..., MultiEngineClient]


def test_only_as_many_nodes_are_started_as_engines_need(start: Start) -> None:
    before = set(node_processes())
    mec = start(1)
    assert len(set(node_processes()) - before) == 1
    assert mec.scale(2) == [0, 1]
    assert len(set(node_processes()) - before) == 2
    assert len({engine.node for engine in mec.engines()}) == 2


def test_nodes_and_engines_are_gone_when_the_fleet_has_stopped(start: Start) -> None:
    before = set(node_processes())
    mec = start(2)
    mine = set(node_processes()) - before
    engines = [engine.pid for engine in mec.engines()]
    mec.stop_fleet()
    eventually(lambda: not any(process.is_running() for process in mine))
    assert not any(pid is not None and os.path.exists(f"/proc/{pid}") for pid in engines)


def test_a_node_has_no_more_engines_than_per_node_says(start: Start) -> None:
    mec = start(None, per_node=1)
    assert mec.get_ids() == [0, 1]
    with pytest.raises(StartError, match=r"2 nodes have at most 1 each \(per_node\)"):
        mec.scale(3)


class Vanishing(SSHHosts):
    """Hosts of which one goes while a node is being started there."""

    def start(self, specs: Any, fits: Any) -> dict[str, Started]:
        self._hosts = [host for host in self._hosts if host != "gone"]
        staying = {name: spec for name, spec in specs.items() if name != "gone"}
        gone = {name: Started(None, said="Address removed") for name in specs if name == "gone"}
        return {**super().start(staying, fits), **gone}


def test_a_worker_that_goes_while_a_node_is_being_started_there_is_done_without(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_cluster(cluster: str, watcher: Any, **_: object) -> SSHHosts:
        return Vanishing(cluster.removeprefix("ssh:"), watcher)

    monkeypatch.setattr(pool_module, "open_cluster", open_cluster)
    assert start(2, cluster="ssh:gone,one").get_ids() == [0, 1]
    with pytest.raises(StartError, match="it has no hosts"):
        start(2, cluster="ssh:gone")


def test_a_host_that_cannot_be_reached_is_named_with_what_ssh_says(start: Start, ssh: Path) -> None:
    (ssh / "away").write_text("ssh: Could not resolve hostname away\n")
    with pytest.raises(StartError, match=r"started on away.*\n.*Could not resolve hostname away"):
        start(1, cluster="ssh:away")


def test_a_folder_that_is_not_on_the_node_is_named_with_the_node(start: Start) -> None:
    with pytest.raises(StartError, match=r"node .*/nowhere/at/all"):
        start(1, cwd="/nowhere/at/all")


def test_what_a_thread_returns_or_raises_comes_back() -> None:
    async def test() -> None:
        assert await in_thread(lambda: threading.current_thread().name) == "kernelfleet-cluster"
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 // 0)
        cancelled = in_thread(lambda: 1)
        cancelled.cancel()
        await until(lambda: "kernelfleet-cluster" not in [t.name for t in threading.enumerate()])

    asyncio.run(test())


class Scripted:
    """A cluster that has the workers of a script, one step further with each look."""

    why_no_workers = "it has no workers: start some"

    def __init__(self, *looks: list[Worker], awaited: int = 0) -> None:
        self.looks, self.left = list(looks), awaited
        self.started: list[str] = []
        self.more = True

    def workers(self) -> list[Worker]:
        self.more = len(self.looks) > 1
        return self.looks.pop(0) if self.more else self.looks[0]

    def awaited(self) -> int:
        return self.left if self.more or self.left < 0 else 0

    def start(self, specs: Any, fits: Any) -> dict[str, Started]:
        del fits
        self.started += specs
        return {name: Started(None, said="no route") for name in specs}

    def close(self) -> None: ...


def on(cluster: Scripted, test: Callable[[NodePool], Awaitable[None]], **options: Any) -> None:
    """Run a test with the pool of a fleet on a scripted cluster."""

    async def body() -> None:
        wanted = FleetOptions(kernels=(None,) * 4, cluster="scripted", **options)
        pool = NodePool(logging.getLogger("tests.pool"), wanted)
        await pool.open()
        try:
            await test(pool)
        finally:
            await pool.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "open_cluster", lambda *_, **_options: cluster)
        patch.setattr(module, "POLL_SECONDS", 0.01)
        patch.setattr(module, "WORKERS_SECONDS", 0.1)
        patch.setattr(module, "FIRST_WORKER_SECONDS", 0.1)
        asyncio.run(asyncio.wait_for(body(), 20))


ONE, TWO = Worker("one", 2), Worker("two", 2)


def test_workers_that_were_asked_for_are_waited_for() -> None:
    async def test(pool: NodePool) -> None:
        assert await pool.slots(4) == 4

    on(Scripted([], [ONE], [ONE, TWO], awaited=1), test)


def test_a_fleet_starts_as_soon_as_there_are_slots_enough() -> None:
    async def test(pool: NodePool) -> None:
        assert await pool.slots(2) == 2

    on(Scripted([ONE], [ONE, TWO], awaited=1), test)


def test_workers_that_do_not_come_are_told_with_what_to_do() -> None:
    async def test(pool: NodePool) -> None:
        with pytest.raises(StartError, match=r"1 workers .* come within 0\.1 s, and -1 have not"):
            await pool.slots(4)

    on(Scripted([ONE], awaited=-1), test)


def test_a_cluster_without_workers_says_what_to_do() -> None:
    async def test(pool: NodePool) -> None:
        with pytest.raises(StartError, match="cannot be used: it has no workers: start some"):
            await pool.slots(4)

    on(Scripted([]), test)


def test_a_resource_of_the_worker_says_how_many_engines_a_node_has() -> None:
    gpus = [Worker("one", 8, {"GPU": 2}), Worker("two", 8), Worker("three", 8, {"GPU": 1})]
    cluster = Scripted(gpus)

    async def test(pool: NodePool) -> None:
        assert await pool.slots(3) == 3
        with pytest.raises(StartError, match="2 of 3 workers have the resource 'GPU'"):
            await pool.place(4, {})
        with pytest.raises(StartError, match="no node could be started on one; it said:\nno route"):
            await pool.place(3, {})
        assert sorted(cluster.started) == ["one", "three"]

    on(cluster, test, per_node="GPU")
