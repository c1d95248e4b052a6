"""Nodes on the hosts of a job of Slurm, of which this process is a part: ``cluster='srun'``.

Each node is a step of the job, which shares what the job has been given with all its other steps.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence

from kernelfleet.clusters.base import Watcher, Worker
from kernelfleet.clusters.hosts import Hosts
from kernelfleet.errors.tree import StartError

#: How long Slurm may take to tell the names of the hosts.
ANSWER_SECONDS = 20.0
_JOB, _HOSTS, _CORES = "SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_JOB_CPUS_PER_NODE"
_REPEATED = re.compile(r"(\d+)(?:\(x(\d+)\))?")


class SlurmJob(Hosts):
    """The hosts of the job that this process belongs to.

    Args:
        python: The path of the interpreter there; empty for that of this process.
        watcher: Is told when a node has ended.

    Raises:
        StartError: this process is in no job, or Slurm does not answer.
    """

    program = "srun -w"
    why_no_workers = "the job has no hosts"

    def __init__(self, python: str, watcher: Watcher) -> None:
        super().__init__(_hosts_of_job(os.environ), python, watcher)
        self._slots = cores_per_host(os.environ.get(_CORES, ""))

    def workers(self) -> list[Worker]:
        """One per host, with as many slots as the job has cores there."""
        slots = self._slots if len(self._slots) == len(self._hosts) else [None] * len(self._hosts)
        return [Worker(host, n, host=host) for host, n in zip(self._hosts, slots, strict=True)]

    def _run_there(self, host: str, argv: Sequence[str]) -> list[str]:
        # --overlap, --mem=0: else other steps of the job, as that of MPI, would wait for this one.
        step = ["--overlap", "--mem=0", "--mpi=none", "--nodes=1", "--ntasks=1", "--unbuffered"]
        return ["srun", *step, f"--nodelist={host}", "--", *argv]


def cores_per_host(text: str) -> list[int]:
    """How many cores the job has on each host: ``72(x2),36`` is 72, 72 and 36."""
    counts: list[int] = []
    for part in filter(None, text.split(",")):
        found = _REPEATED.fullmatch(part)
        if found is None:
            return []
        counts += [int(found[1])] * int(found[2] or 1)
    return counts


def _hosts_of_job(environment: Mapping[str, str]) -> list[str]:
    if _JOB not in environment or _HOSTS not in environment:
        raise StartError(
            "cluster='srun' is for processes inside a job of Slurm, and this one is in none "
            f"({_JOB} is not set): start it in one (salloc, sbatch), or see SLURMCluster"
        )
    try:
        told = subprocess.run(
            ["scontrol", "show", "hostnames", environment[_HOSTS]],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        raise StartError(f"Slurm does not tell the hosts of the job: {said}") from error
    return told.stdout.split()
