"""Nodes on hosts that ssh reaches: ``cluster='ssh:host1,host2'``. Nothing else is needed there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from kernelfleet.clusters.base import Watcher, Worker
from kernelfleet.clusters.hosts import Hosts
from kernelfleet.errors.tree import StartError


class SSHHosts(Hosts):
    """Hosts by name, as ``ssh`` knows them: ``host1,user@host2``.

    Args:
        hosts: Their names, separated by commas; after a blank the path of the interpreter there,
            by default that of this process.
        watcher: Is told when a node has ended.

    Raises:
        StartError: no host is named, or one twice.
    """

    program = "ssh"
    connection_failed: int | None = 255
    why_no_workers = "it has no hosts: name some, as in 'ssh:host1,host2'"

    def __init__(self, hosts: str, watcher: Watcher) -> None:
        names, _, python = hosts.partition(" ")
        super().__init__(
            [name.strip() for name in names.split(",") if name.strip()], python.strip(), watcher
        )
        if not self._hosts:
            raise StartError(f"the cluster cannot be used: {self.why_no_workers}")
        if len(set(self._hosts)) < len(self._hosts):
            raise StartError("a host is named twice: per_node says how many engines it may have")
        wrong = [name for name in self._hosts if name.startswith("-")]
        if wrong:
            raise StartError(f"{wrong[0]!r} is no name of a host")

    def workers(self) -> list[Worker]:
        """One per host; other programs than ssh do not know ``user@``."""
        return [Worker(host, host=host.rpartition("@")[2]) for host in self._hosts]

    def _run_there(self, host: str, argv: Sequence[str]) -> list[str]:
        # BatchMode: a password cannot be asked for.
        return ["ssh", "-T", "-o", "BatchMode=yes", "--", host, f"exec {shlex.join(argv)}"]
