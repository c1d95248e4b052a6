"""dask_scheduler.py: workers with nodes are not chosen to be closed while our client is there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet import Fleet
from kernelfleet.clusters.dask_scheduler import keeper
from tests.fleets import eventually


class Scheduler:
    """The part of a Dask scheduler that decides which workers are closed."""

    def __init__(self) -> None:
        self.clients = {"ours": 1}
        names = {"tcp://a": "one", "tcp://b": "two", "tcp://c": "three"}
        self.workers = {
            each: SimpleNamespace(address=each, name=name) for each, name in names.items()
        }
        self.handlers: dict[str, Any] = {}

    def workers_to_close(self, *, target: int, attribute: str = "address") -> list[str]:
        del target
        return [getattr(each, attribute) for each in self.workers.values()]


def test_workers_with_nodes_are_left_out_by_address_and_by_name() -> None:
    scheduler = Scheduler()
    keeper()("ours", ["tcp://a"], dask_scheduler=scheduler)
    keeper()("ours", ["tcp://a", "tcp://c", "tcp://gone"], dask_scheduler=scheduler)
    choose = scheduler.handlers["workers_to_close"]
    assert choose(target=0) == ["tcp://b"]
    assert choose(target=0, attribute="name") == ["two"]
    assert scheduler.workers_to_close(target=0) == ["tcp://b"]


def test_it_is_over_when_our_client_has_left() -> None:
    scheduler = Scheduler()
    keeper()("ours", ["tcp://a"], dask_scheduler=scheduler)
    scheduler.clients.clear()
    assert scheduler.workers_to_close(target=0) == ["tcp://a", "tcp://b", "tcp://c"]


@pytest.mark.slow
def test_adapt_closes_the_workers_without_engines_only() -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed (extra dask)")
    options = {"dashboard_address": ":0", "memory_limit": 0}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
        fleet = Fleet(1, cluster=cluster)
        with fleet as mec:
            cluster.adapt(minimum=0, maximum=2, interval="100ms", wait_count=2)
            eventually(lambda: len(cluster.scheduler_info["workers"]) == 1)
            assert mec.execute("6 * 7")[0].value == 42
        eventually(lambda: not cluster.scheduler_info["workers"])
