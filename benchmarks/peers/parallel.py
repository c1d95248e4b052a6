"""ipyparallel, as its documentation begins: a Cluster, a direct view, a balanced view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipyparallel as ipp

from benchmarks import functions
from benchmarks.peers.base import Peer


class IpyparallelPeer(Peer):
    name = "ipyparallel"

    def start(self, n: int) -> None:
        self.cluster = ipp.Cluster(n=n, log_level=40)
        self.client = self.cluster.start_and_connect_sync()
        self.view = self.client[:]
        self.one = self.client[0]
        self.balanced = self.client.load_balanced_view()
        self.view.apply_sync(functions.increment, 1)

    def stop(self) -> None:
        self.client.close()
        self.cluster.stop_cluster_sync()

    def execute(self, code: str) -> None:
        self.view.execute(code, block=True).get()

    def execute_on_one(self, code: str) -> None:
        self.one.execute(code, block=True).get()

    def execute_many(self, code: str, count: int) -> None:
        for pending in [self.one.execute(code, block=False) for _ in range(count)]:
            pending.get()

    def push(self, name: str, value: Any) -> None:
        self.view.push({name: value}, block=True)

    def pull(self, name: str) -> list[Any]:
        return list(self.view.pull(name, block=True))

    def pull_from_one(self, name: str) -> Any:
        return self.one.pull(name, block=True)

    def apply(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        return list(self.view.apply_sync(function, *args))

    def scatter(self, name: str, array: Any) -> None:
        self.view.scatter(name, array, block=True)

    def gather(self, name: str) -> Any:
        return self.view.gather(name, block=True)

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.balanced.map_sync(function, items))

    def map_evenly(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.view.map_sync(function, items))

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.balanced.apply_async(function, *args).get()

    def submit_many(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        pending = [self.balanced.apply_async(function, item) for item in items]
        return [each.get() for each in pending]


def make() -> Peer:
    return IpyparallelPeer()
