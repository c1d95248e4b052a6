"""dask_scheduler.py: workers with nodes are not chosen to be closed while our client is there."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet.clusters.dask_scheduler import keeper


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


#: In a process of its own, see tests/dask_cluster.py.
ADAPTED = """
import time, warnings
warnings.simplefilter("ignore")  # of Dask's own
from distributed import LocalCluster
from kernelfleet import Fleet

def wait_for(number):
    while len(cluster.scheduler_info["workers"]) != number:
        time.sleep(0.01)

if __name__ == "__main__":
    options = {"dashboard_address": ":0", "memory_limit": 0}
    with LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
        with Fleet(1, cluster=cluster) as mec:
            cluster.adapt(minimum=0, maximum=2, interval="100ms", wait_count=2)
            wait_for(1)
            print(mec.execute("6 * 7").values())
        wait_for(0)
"""


@pytest.mark.slow
def test_adapt_closes_the_workers_without_engines_only() -> None:
    pytest.importorskip("distributed", reason="Dask is not installed (extra dask)")
    command = [sys.executable, "-c", ADAPTED]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # (Dask's nanny logs tracebacks of its own when a worker is closed.)
    assert (ended.stdout, ended.returncode) == ("[42]\n", 0), ended.stderr
