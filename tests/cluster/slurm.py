"""A real Slurm: slurmctld on this machine, a slurmd on each host, munge between them.

All of it runs as root in the foreground, with its files in a folder of the test. Nothing asks for
cgroups, which a host of namespaces cannot manage (``proctrack/linuxproc``).
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import subprocess
from pathlib import Path

from tests.cluster.hosts import Network, sh
from tests.fleets import eventually

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "scancel", "squeue", "sinfo")

_CONF = """\
ClusterName=kernelfleet
SlurmctldHost={controller}({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={socket}
CredType=cred/munge
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir=/tmp/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile=/tmp/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=5
MinJobAge=10
SlurmctldPort={port}
SlurmdPort={port_of_nodes}
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why there can be no Slurm here; empty if there can."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    return f"Slurm needs {', '.join(missing)} (slurm-wlm, munge)" if missing else ""


class Slurm:
    """A cluster of all hosts of a network; ``close`` ends it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.folder = network.folder / f"slurm-{secrets.token_hex(4)}"
        (self.folder / "state").mkdir(parents=True)
        # the same path everywhere, and another socket on each machine: /tmp is each one's own
        self._socket = Path(f"/tmp/kernelfleet-munge-{secrets.token_hex(4)}")
        self.conf = self.folder / "slurm.conf"
        number = int(str(network.subnet).split(".")[2])
        self.conf.write_text(
            _CONF.format(
                controller=platform.node().partition(".")[0],
                address=network.address,
                folder=self.folder,
                socket=self._socket,
                port=7000 + number,
                port_of_nodes=7300 + number,
                nodes="\n".join(
                    f"NodeName={host.name} NodeAddr={host.address} CPUs=2 RealMemory=2000"
                    for host in network.hosts
                ),
            )
        )
        # slurmd wants some file system there, also where nothing is to be done with cgroups
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupMountpoint=/tmp\n")
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self._programs: list[subprocess.Popen[bytes]] = []
        try:
            self._start_all()
        except BaseException:
            self.close()
            raise

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need in their environment."""
        return {"SLURM_CONF": str(self.conf)}

    def _munge(self, name: str) -> list[str]:
        files = {"pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        return [
            *("munged", "--foreground", "--force", f"--socket={self._socket}"),
            f"--key-file={self.folder}/munge.key",
            *(f"--{option}={self.folder}/munge-{name}.{end}" for option, end in files.items()),
        ]

    def _start_all(self) -> None:
        self._start("munge", self._munge("here"))
        for host in self.network.hosts:
            with (self.folder / f"munge-{host.name}.out").open("w") as log:
                host.popen(self._munge(host.name), stdout=log, stderr=log)
        eventually(self._socket.exists)
        self._start("slurmctld", ["slurmctld", "-D", "-c", "-f", str(self.conf)])
        for host in self.network.hosts:
            # slurmd stays on its host until that is cleaned
            with (self.folder / f"slurmd-{host.name}.out").open("w") as log:
                argv = ["slurmd", "-D", "-N", host.name, "-f", str(self.conf)]
                host.popen(argv, env=self.environment, stdout=log, stderr=log)
        eventually(self._is_idle, 30)

    def _start(self, name: str, argv: list[str]) -> None:
        with (self.folder / f"{name}.out").open("w") as log:
            env = {**os.environ, **self.environment, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
            self._programs.append(subprocess.Popen(argv, stdout=log, stderr=log, env=env))

    def ask(self, *argv: str) -> str:
        """What one of Slurm's commands says."""
        return sh("env", f"SLURM_CONF={self.conf}", *argv)

    def _is_idle(self) -> bool:
        try:
            states = self.ask("sinfo", "-h", "-N", "-o", "%t").split()
        except AssertionError:
            return False
        return states == ["idle"] * len(self.network.hosts)

    @property
    def jobs(self) -> list[str]:
        """The ids of the jobs in its queue."""
        return self.ask("squeue", "-h", "-o", "%i").split()

    def close(self) -> None:
        """End all of it on this machine; what runs on the hosts ends when they are cleaned."""
        for program in reversed(self._programs):
            program.terminate()
        for program in self._programs:
            program.wait(20)
        for path in (self._socket, Path(f"{self._socket}.lock")):
            path.unlink(missing_ok=True)
