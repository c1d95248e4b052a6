"""A fleet in the jobs of a real Slurm, through dask-jobqueue, as docs/clusters.md has it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kernelfleet import Fleet
from kernelfleet.errors import EngineDied
from tests.cluster.fleets import assert_nothing_of_ours, seconds_until_told
from tests.cluster.slurm import Slurm
from tests.fleets import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def slurm_cluster(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Jobs with two slots each."""
    jobqueue = pytest.importorskip("dask_jobqueue", reason="needs dask-jobqueue")
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("cryptography", reason="temporary certificates need cryptography")
    monkeypatch.chdir(slurm.folder)
    cluster = jobqueue.SLURMCluster(
        cores=2,
        processes=1,
        memory="500MB",
        walltime="00:10:00",
        python=sys.executable,
        protocol="tls://",
        security=distributed.Security.temporary(),
        shared_temp_directory=str(slurm.folder),
        log_directory=str(slurm.folder),
        # (without an address it would take port 8787, which another test may have)
        scheduler_options={
            "host": slurm.network.address,
            "dashboard": False,
            "dashboard_address": ":0",
        },
    )
    yield cluster
    cluster.close()


def test_a_fleet_in_jobs_of_slurm(slurm: Slurm, slurm_cluster: Any) -> None:
    began = time.monotonic()
    slurm_cluster.scale(jobs=2)
    with Fleet(4, cluster=slurm_cluster) as mec:
        print(f"\n    four engines in two new jobs: {time.monotonic() - began:.1f} s")
        jobs = mec.execute("import os; os.environ['SLURM_JOB_ID']").values()
        assert sorted(set(jobs)) == sorted(slurm.jobs)
        assert mec.map(abs, range(-100, 0)) == list(range(100, 0, -1))
        gone = [engine for engine, job in enumerate(jobs) if job == jobs[0]]
        pending = mec.execute("import time; time.sleep(600)", targets=gone, block=False)
        eventually(pending.running)
        slurm.ask("scancel", jobs[0])
        seconds, error = seconds_until_told(pending.result)
        print(f"    told of scancel after {seconds:.2f} s")
        assert seconds < 10.0
        assert all(isinstance(each, EngineDied) for each in error.exceptions)
        left = [engine for engine in range(4) if engine not in gone]
        assert mec.execute("engine_id", targets=left).values() == left
    slurm_cluster.close()
    eventually(lambda: not slurm.jobs, 20)
    assert_nothing_of_ours(slurm.network)


def test_jobs_that_begin_later_are_used_when_the_fleet_grows(
    slurm: Slurm, slurm_cluster: Any
) -> None:
    slurm_cluster.scale(jobs=1)
    with Fleet(2, cluster=slurm_cluster, per_node=2) as mec:
        slurm_cluster.scale(jobs=2)
        slurm_cluster.wait_for_workers(2)
        assert mec.scale(4, timeout=60) == [0, 1, 2, 3]
        jobs = mec.execute("import os; os.environ['SLURM_JOB_ID']").values()
        assert jobs[0] == jobs[1] != jobs[2] == jobs[3]
        assert mec.execute("n_engines").values() == [4] * 4
