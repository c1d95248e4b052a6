"""MPI worlds over hosts, with real launchers: by ssh, and in a job of a real Slurm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelfleet import CompositeError, EngineDied, Fleet
from kernelfleet.errors import InterruptUnheeded, StartError
from tests.cluster.fleets import assert_nothing_of_ours
from tests.cluster.hosts import Network
from tests.cluster.slurm import Slurm
from tests.cluster.sshd import Sshd
from tests.fleets import eventually
from tests.nodes import path_with
from tests.provisioners.mpi.launching import INSTALLED, environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not INSTALLED, reason="needs mpiexec.openmpi or mpiexec.mpich, and mpi4py"),
]

HELLO = "import socket; from mpi4py import MPI; comm = MPI.COMM_WORLD; comm.rank, comm.size"


@pytest.fixture
def ssh(sshd: Sshd, shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ``ssh`` that knows the keys of the test, also for mpiexec."""
    program = shared_folder / "ssh"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {sshd.client_conf} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", path_with(shared_folder))


def nothing_is_left(network: Network) -> None:
    """No node, no keeper, no socket of ranks."""
    assert_nothing_of_ours(network)
    for host in network.hosts:
        assert host.run("sh", "-c", "ls /tmp").split().count("kernelfleet-mpi") == 0


@pytest.mark.usefixtures("ssh")
@pytest.mark.parametrize("library", INSTALLED)
def test_the_ranks_of_a_world_are_on_three_hosts(
    network: Network, shared_folder: Path, library: str
) -> None:
    hosts = ",".join(f"root@{host.address}" for host in network.hosts)
    mpiexec = shared_folder / "mpiexec"
    mpiexec.write_text(f'#!/bin/sh\nexec mpiexec.{library} "$@"\n')
    mpiexec.chmod(0o755)
    began = time.monotonic()
    with Fleet(
        6,
        cluster=f"ssh:{hosts}",
        per_node=2,
        mpi=True,
        env=environment(library, shared_folder),
    ) as mec:
        print(f"\n    {library}, six ranks on three hosts: {time.monotonic() - began:.1f} s")
        assert mec.execute(HELLO).values() == [(rank, 6) for rank in range(6)]
        names = mec.execute("socket.gethostname()").values()
        assert sorted(names) == sorted(2 * [host.name for host in network.hosts])
        assert [engine.node for engine in mec.engines()] == names
        assert mec.execute("comm.allreduce(comm.rank)").values() == [15] * 6

        waiting = mec.execute("comm.Barrier()", targets=range(5), block=False)
        eventually(waiting.running)
        with pytest.warns(InterruptUnheeded, match="comm.Barrier"):
            mec.interrupt()
        began = time.monotonic()
        mec.execute("import os; os._exit(3)", targets=5, block=False)
        with pytest.raises(CompositeError) as raised:
            waiting.result(timeout=20)
        print(f"    told of a rank's death after {time.monotonic() - began:.2f} s")
        dead = [error for error in raised.value.exceptions if isinstance(error, EngineDied)]
        assert dead
        assert all("rank 5 took the MPI world along" in str(error) for error in dead)
        eventually(lambda: mec.get_ids() == [])
        began = time.monotonic()
        mec.restart("all")
        print(f"    a new world: {time.monotonic() - began:.1f} s")
        assert mec.execute(HELLO).values() == [(rank, 6) for rank in range(6)]
    nothing_is_left(network)


@pytest.mark.usefixtures("ssh")
def test_a_rank_that_comes_to_a_host_without_a_node_is_named(
    network: Network, shared_folder: Path
) -> None:
    library = INSTALLED[0]
    one, two, _ = (host.address for host in network.hosts)
    began = time.monotonic()
    with pytest.raises(StartError, match=rf"rank \d was started on {network.hosts[1].name}, where"):
        Fleet(
            2,
            cluster=f"ssh:root@{one}",
            mpiexec=f"mpiexec.{library} -n {{n}} -host {one},{two}",
            env=environment(library, shared_folder),
        ).start()
    assert time.monotonic() - began < 20
    nothing_is_left(network)


#: A program whose world is on hosts, and which then waits.
WAITS = """
import sys, time
from kernelfleet import Fleet
mec = Fleet(4, cluster=sys.argv[1], per_node=2, mpiexec=sys.argv[2]).start()
mec.execute("import time\\nwhile True: pass", block=False)
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.usefixtures("ssh")
def test_nothing_outlives_a_head_that_was_killed(network: Network) -> None:
    one, two, _ = (f"root@{host.address}" for host in network.hosts)
    launcher = f"mpiexec.{INSTALLED[0]} -n {{n}} -host {{hosts}}"
    argv = [sys.executable, "-c", WAITS, f"ssh:{one},{two}", launcher]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as head:
        assert head.stdout is not None
        assert head.stdout.readline() == "up\n"
        head.kill()
    began = time.monotonic()
    nothing_is_left(network)
    print(f"\n    nothing left of a world after {time.monotonic() - began:.1f} s")


#: What runs in a job: a world over its hosts by one launcher after the other.
IN_A_JOB = """
import socket, sys
from kernelfleet import Fleet
hosts, launcher, *settings = sys.argv[1:]
env = dict(each.split("=", 1) for each in settings)
options = {"cluster": hosts} if hosts else {}
with Fleet(4, mpiexec=launcher or None, mpi=True, env=env, **options) as mec:
    mec.execute("import socket; from mpi4py import MPI; comm = MPI.COMM_WORLD")
    names = mec.execute("socket.gethostname()").values()
    print("ranks", mec.execute("comm.rank, comm.size").values() == [(i, 4) for i in range(4)])
    print("sum", mec.execute("comm.allreduce(comm.rank)").values())
    print("hosts", len(set(names)))
"""

Submit = Callable[..., str]


@pytest.fixture
def submit(slurm: Slurm, shared_folder: Path) -> Submit:
    """Runs the program in a job of so many hosts, and gives what it has printed."""
    script = shared_folder / "in_a_job.py"
    script.write_text(IN_A_JOB)

    def run(hosts: int, *arguments: str) -> str:
        out = shared_folder / "job.out"
        out.unlink(missing_ok=True)
        words = [sys.executable, str(script), *arguments]
        body = " ".join(f"'{word}'" for word in words)
        argv = ["sbatch", "-W", f"-N{hosts}", f"-n{2 * hosts}", f"--output={out}", f"--wrap={body}"]
        subprocess.run(
            argv, env={**os.environ, "HOME": "/tmp/home"}, check=False, capture_output=True
        )
        return out.read_text()

    return run


LAUNCHERS = {
    "openmpi": [
        "mpiexec.openmpi -n {n}",
        "srun --overlap --mem=0 --overcommit --mpi=pmix -n {n} -w {hosts}",
    ],
    "mpich": [
        "mpiexec.mpich -n {n}",
        "srun --overlap --mem=0 --overcommit --mpi=pmi2 -n {n} -w {hosts}",
    ],
}


@pytest.mark.parametrize("library", INSTALLED)
@pytest.mark.parametrize("hosts", [pytest.param(1, marks=pytest.mark.long), 2])
@pytest.mark.parametrize("which", [0, 1], ids=["mpiexec", "srun"])
def test_a_world_in_a_job_of_slurm(
    submit: Submit, slurm: Slurm, shared_folder: Path, library: str, hosts: int, which: int
) -> None:
    settings = [f"{k}={v}" for k, v in environment(library, shared_folder).items()]
    launcher = LAUNCHERS[library][which]
    plugins = subprocess.run(["srun", "--mpi=list"], capture_output=True, text=True, check=False)
    wanted = "pmix" if library == "openmpi" else "pmi2"
    if which and wanted not in plugins.stdout + plugins.stderr:
        pytest.skip(f"this Slurm has no {wanted}")
    said = submit(hosts, "srun", launcher, *settings)
    assert said.splitlines() == ["ranks True", "sum [6, 6, 6, 6]", f"hosts {hosts}"]
    nothing_is_left(slurm.network)


@pytest.mark.skipif("openmpi" not in INSTALLED, reason="needs Open MPI")
def test_in_a_job_of_one_host_no_cluster_is_needed_and_of_two_it_is_asked_for(
    submit: Submit, slurm: Slurm
) -> None:
    settings = ["MPI4PY_MPIABI=openmpi"]
    launcher = "srun --overlap --mem=0 --overcommit --mpi=pmix -n {n}"
    assert "sum [6, 6, 6, 6]" in submit(1, "", launcher, *settings)
    said = submit(2, "", launcher, *settings)
    assert "where this fleet has no node" in said
    assert "cluster='srun'" in said
    nothing_is_left(slurm.network)
