"""kernelfleet, with the controller in the client's process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.peers.base import Peer
from kernelfleet import Fleet, MultiEngineClient


class FleetPeer(Peer):
    """An embedded fleet, as a notebook has it."""

    name = "kernelfleet"

    mec: MultiEngineClient

    def start(self, n: int) -> None:
        self.fleet = Fleet(n)
        self.mec = self.fleet.start()
        self.executor: Any = None

    def stop(self) -> None:
        if self.executor is not None:
            self.executor.shutdown()
        self.fleet.stop()

    def execute(self, code: str) -> None:
        self.mec.execute(code)

    def execute_on_one(self, code: str) -> None:
        self.mec.execute(code, targets=0)

    def execute_many(self, code: str, count: int) -> None:
        pending = [self.mec.execute(code, targets=0, block=False) for _ in range(count)]
        self.mec.barrier(pending)

    def push(self, name: str, value: Any) -> None:
        self.mec.push({name: value})

    def pull(self, name: str) -> list[Any]:
        return list(self.mec.pull(name))

    def pull_from_one(self, name: str) -> Any:
        return self.mec.pull(name, targets=0)[0]

    def apply(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        return list(self.mec.apply(function, *args))

    def scatter(self, name: str, array: Any) -> None:
        self.mec.scatter(name, array)

    def gather(self, name: str) -> Any:
        return self.mec.gather(name)

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.mec.map(function, items))

    def map_evenly(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.mec.map(function, items, schedule="static"))

    def _executor(self) -> Any:
        if self.executor is None:
            self.executor = self.mec.executor()
        return self.executor

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._executor().submit(function, *args).result()

    def submit_many(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        executor = self._executor()
        futures = [executor.submit(function, item) for item in items]
        return [future.result() for future in futures]


def make() -> Peer:
    return FleetPeer()
