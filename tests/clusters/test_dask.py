"""dask.py: what a user may give, what is refused, and a small cluster of this machine."""

from __future__ import annotations

import builtins
import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.clusters.dask import DaskCluster
from kernelfleet.errors import StartError
from kernelfleet.wire.platforms import number_of_cores
from tests.dask_cluster import dask_cluster
from tests.fleets import Daemon, eventually

pytest.importorskip("distributed", reason="Dask is not installed (extra dask)")
WATCHER: Any = object()


@pytest.mark.parametrize("address", ["tcp://10.1.2.3:8786", "ws://scheduler:80", "tcp://far:1"])
def test_a_scheduler_without_tls_is_refused(address: str) -> None:
    with pytest.raises(StartError, match=r"without TLS.*insecure=True"):
        DaskCluster(address, WATCHER, insecure=False)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernelfleet.clusters.dask.CONNECT_SECONDS", 0.2)
    with pytest.raises(StartError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1:"):
        DaskCluster("tcp://127.0.0.1:1", WATCHER, insecure=False)


def test_a_scheduler_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="nor a scheduler file that exists"):
        DaskCluster(str(tmp_path / "scheduler.json"), WATCHER, insecure=False)


def test_what_is_no_cluster_is_refused() -> None:
    with pytest.raises(TypeError, match=r"cluster is an address, .* not int"):
        DaskCluster(5, WATCHER, insecure=False)


def test_the_extra_is_named_where_dask_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_dask(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("distributed"):
            raise ImportError("No module named 'distributed'")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_dask)
    with pytest.raises(StartError, match=r"pip install 'kernelfleet\[dask\]'"):
        DaskCluster("tls://far:8786", WATCHER, insecure=False)


def test_tls_without_certificates_says_where_they_are_named() -> None:
    with pytest.raises(StartError, match=r"no certificates here.*distributed\.comm\.tls"):
        DaskCluster("tls://127.0.0.1:1", WATCHER, insecure=False)


#: In a process of its own, see tests/dask_cluster.py.
WITH_ITS_OBJECT = """
import warnings
warnings.simplefilter("ignore")  # of Dask's own
import distributed
from kernelfleet import Fleet

if __name__ == "__main__":
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, dashboard_address=":0", memory_limit=0
    ) as cluster:
        with Fleet(cluster=cluster) as mec:
            print(mec.execute("6 * 7").values())  # two: an engine for each thread
        with distributed.Client(cluster) as client:
            print(len(client.scheduler_info()["workers"]))
"""


@pytest.mark.nodes
def test_engines_run_on_the_workers_of_a_cluster_that_is_given_as_an_object() -> None:
    command = [sys.executable, "-c", WITH_ITS_OBJECT]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == ("[42, 42]\n1\n", "")


CLOSED_FIRST = """
import warnings
warnings.simplefilter("ignore")  # of Dask's own
import sys
import distributed
from kernelfleet import Fleet

if __name__ == "__main__":
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    )
    fleet = Fleet(cluster=cluster if sys.argv[1] == "object" else cluster.scheduler_address)
    mec = fleet.start()
    cluster.close()
    fleet.stop()
    print("ended")
"""


@pytest.mark.slow
@pytest.mark.parametrize("given", ["object", "address"])
def test_a_cluster_that_is_closed_before_its_fleet_says_nothing_of_our_client(given: str) -> None:
    command = [sys.executable, "-c", CLOSED_FIRST, given]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert ended.stdout == "ended\n"
    # (on a busy machine Dask's nannies complain of their own workers)
    told = [line for line in ended.stderr.splitlines() if "distributed.nanny" not in line]
    assert told == []


CLOSE_ONE = """
import sys
import distributed
with distributed.Client(sys.argv[1]) as client:
    if sys.argv[2:]:
        client.retire_workers([next(iter(client.scheduler_info()["workers"]))], close_workers=True)
    print(len(client.scheduler_info()["workers"]))
"""


def workers(address: str, *close_one: str) -> int:
    """The number of a cluster's workers, after one of them was closed if that is said."""
    command = [sys.executable, "-c", CLOSE_ONE, address, *close_one]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


@pytest.mark.nodes
def test_engines_run_on_the_workers_and_die_with_them() -> None:
    with (
        dask_cluster(2, 2) as address,
        contextlib.closing(Daemon(name="on-dask", n=4, cluster=address)) as daemon,
        MultiEngineClient(daemon.name) as mec,
    ):
        assert len({engine.node for engine in mec.engines()}) == 2
        mec.push({"a": os.getpid()})
        assert mec.pull("a") == [os.getpid()] * 4
        threads = mec.execute("import os; os.environ.get('OMP_NUM_THREADS')")
        assert {each.value for each in threads} == {str(max(1, number_of_cores() // 2))}
        workers(address, "close one")
        eventually(lambda: len(mec.get_ids()) == 2)
        dead = [engine for engine in mec.engines() if engine.state == "dead"]
        assert len({engine.node for engine in dead}) == 1
        assert mec.restart("all", timeout=60) == [None] * 4
        assert mec.get_ids() == [0, 1, 2, 3]
        mec.stop_fleet()
        assert workers(address)  # the cluster goes on
