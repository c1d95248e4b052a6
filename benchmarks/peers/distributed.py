"""Dask: a LocalCluster of single-threaded worker processes."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dask
import numpy as np
from distributed import Client, LocalCluster

from benchmarks import functions
from benchmarks.peers.base import Peer


class DaskPeer(Peer):
    """Names are kept here: to Dask, data on workers are futures."""

    name = "dask"

    def start(self, n: int) -> None:
        dask.config.set({"distributed.scheduler.worker-saturation": 1.1})  # its default, said
        self.cluster = LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=":0")
        self.client = Client(self.cluster)
        self.client.wait_for_workers(n)
        self.client.run(functions.increment, 1)
        self.workers = list(self.client.scheduler_info(n_workers=-1)["workers"])
        self.kept: dict[str, list[Any]] = {}

    def stop(self) -> None:
        self.kept.clear()
        self.client.close()
        self.cluster.close()

    def execute(self, code: str) -> None:
        self.client.run(functions.run_code, code)

    def execute_on_one(self, code: str) -> None:
        self.client.run(functions.run_code, code, workers=[self.workers[0]])

    def execute_many(self, code: str, count: int) -> None:
        run = self.client.submit
        one = [self.workers[0]]
        self.client.gather(
            [run(functions.run_code, code, workers=one, pure=False) for _ in range(count)]
        )

    def push(self, name: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            self.kept[name] = [self.client.scatter(value, broadcast=True, hash=False)]
        else:
            self.client.run(functions.store, name, value)

    def pull(self, name: str) -> list[Any]:
        if name in self.kept:
            return list(self.client.gather(self.kept[name]))
        return list(self.client.run(functions.load, name).values())

    def pull_from_one(self, name: str) -> Any:
        return self.client.gather(self.kept[name][0])

    def apply(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        return list(self.client.run(function, *args).values())

    def make_arrays(self, name: str, size_bytes: int) -> None:
        """One array made on each worker."""
        self.kept[name] = [
            self.client.submit(functions.make_array, size_bytes, workers=[worker], pure=False)
            for worker in self.workers
        ]
        self.client.gather([self.client.submit(functions.total, each) for each in self.kept[name]])

    def scatter(self, name: str, array: Any) -> None:
        parts = np.array_split(array, len(self.workers))
        self.kept[name] = list(self.client.scatter(parts, hash=False))

    def gather(self, name: str) -> Any:
        return np.concatenate(self.client.gather(self.kept[name]))

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.client.gather(self.client.map(function, items, pure=False)))

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.client.submit(function, *args, pure=False).result()

    def submit_many(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        futures = [self.client.submit(function, item, pure=False) for item in items]
        return list(self.client.gather(futures))


def make() -> Peer:
    return DaskPeer()
