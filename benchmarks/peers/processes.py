"""concurrent.futures: a ProcessPoolExecutor, which has tasks but no engines one could name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks import functions
from benchmarks.peers.base import Peer


class PoolPeer(Peer):
    name = "processes"

    def start(self, n: int) -> None:
        self.n = n
        self.pool = ProcessPoolExecutor(n)
        list(self.pool.map(functions.work, [0.02] * n))

    def stop(self) -> None:
        self.pool.shutdown()

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.pool.map(function, items))

    def map_evenly(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.pool.map(function, items, chunksize=-(-len(items) // self.n)))

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.pool.submit(function, *args).result()

    def submit_many(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        futures = [self.pool.submit(function, item) for item in items]
        return [future.result() for future in futures]


def make() -> Peer:
    return PoolPeer()
