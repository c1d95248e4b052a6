"""srun.py: a node per host of the job that this process is in. Real Slurm: tests/cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernelfleet import Fleet
from kernelfleet.clusters.base import Worker
from kernelfleet.clusters.opening import open_cluster
from kernelfleet.clusters.srun import SlurmJob, cores_per_host
from kernelfleet.errors import StartError
from tests.nodes import path_with

WATCHER: Any = object()

#: Runs the command here, as srun does on another host.
_SRUN = """#!/bin/sh
echo "$@" >>"{folder}/asked"
while [ "$1" != -- ]; do shift; done
shift
SLURM_LAUNCH_NODE_IPADDR=127.0.0.1 SLURM_PROCID=0 exec "$@"
"""
_SCONTROL = """#!/bin/sh
[ "$1 $2 $3" = "show hostnames n[1-2]" ] && printf 'n1\\nn2\\n' && exit
echo "scontrol: cannot tell" >&2
exit 1
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job of two hosts; the folder with what srun was asked."""
    for name, text in (("srun", _SRUN.format(folder=tmp_path)), ("scontrol", _SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", path_with(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "n[1-2]")
    monkeypatch.setenv("SLURM_JOB_CPUS_PER_NODE", "3,1")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "counts"),
    [("4", [4]), ("72(x2),36", [72, 72, 36]), ("", []), ("nonsense", [])],
)
def test_the_cores_of_each_host_are_read(text: str, counts: list[int]) -> None:
    assert cores_per_host(text) == counts


def test_the_hosts_are_those_of_the_job_with_its_cores(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = open_cluster("srun", WATCHER, insecure=False)
    assert isinstance(cluster, SlurmJob)
    assert cluster.workers() == [Worker("n1", 3, host="n1"), Worker("n2", 1, host="n2")]
    assert cluster.awaited() == 0
    monkeypatch.setenv("SLURM_JOB_CPUS_PER_NODE", "")
    assert [each.slots for each in SlurmJob("", WATCHER).workers()] == [None, None]


def test_outside_a_job_and_without_an_answer_it_is_said(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_NODELIST", "x")
    with pytest.raises(StartError, match="scontrol: cannot tell"):
        SlurmJob("", WATCHER)
    monkeypatch.delenv("SLURM_JOB_ID")
    with pytest.raises(StartError, match="inside a job of Slurm, and this one is in none"):
        SlurmJob("", WATCHER)


def test_the_interpreter_can_be_named(job: Path) -> None:
    cluster = open_cluster("srun /nowhere/python", WATCHER, insecure=False)
    spec: Any = {}
    started = cluster.start({"n1": spec}, lambda _: True)["n1"]
    assert "/nowhere/python" in started.said


def test_a_fleet_has_a_step_of_the_job_on_each_host(job: Path) -> None:
    with Fleet(2, cluster="srun", per_node=1) as mec:
        found = mec.execute("import os; (os.getenv('SLURM_PROCID'), os.getenv('SLURM_JOB_ID'))")
        assert found.values() == [(None, "7")] * 2
    asked = (job / "asked").read_text()
    assert "--nodelist=n1 --" in asked
    assert "--nodelist=n2 --" in asked
    assert "--overlap --mem=0" in asked
