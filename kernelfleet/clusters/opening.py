"""Which cluster a user means."""

from __future__ import annotations

from kernelfleet.clusters.base import Cluster, Watcher

#: How a list of hosts begins, and what the job of Slurm is called that this process is in.
SSH, SRUN = "ssh:", "srun"


def open_cluster(cluster: object, watcher: Watcher, *, insecure: bool) -> Cluster:
    """The cluster that a user means.

    Args:
        cluster: The address of a Dask scheduler, the path of its scheduler file, an object of
            Dask's (a ``Cluster`` or a ``Client``), ``ssh:`` and the names of hosts, or ``srun`` for
            the hosts of this process's job of Slurm, perhaps with the interpreter's path behind.
        watcher: Is told what happens to workers.
        insecure: Whether a cluster may be used whose traffic others can read and change.

    Raises:
        StartError: it cannot be reached, or is not secure.
        TypeError: it is nothing of the kind.
    """
    if isinstance(cluster, str) and cluster.startswith(SSH):
        from kernelfleet.clusters.ssh import SSHHosts

        return SSHHosts(cluster.removeprefix(SSH), watcher)
    if isinstance(cluster, str) and (cluster == SRUN or cluster.startswith(f"{SRUN} ")):
        from kernelfleet.clusters.srun import SlurmJob

        return SlurmJob(cluster.removeprefix(SRUN).strip(), watcher)
    from kernelfleet.clusters.dask import DaskCluster

    return DaskCluster(cluster, watcher, insecure=insecure)
