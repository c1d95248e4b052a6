"""kernelfleet, with the controller in a process of its own, reached by its Unix socket."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.peers.base import Peer
from benchmarks.peers.fleet import FleetPeer
from kernelfleet import MultiEngineClient


class DaemonPeer(FleetPeer):
    """As after ``kernelfleet start``. Only on request: ``--sides kernelfleet,daemon,tcp``."""

    name = "daemon"

    def start(self, n: int) -> None:
        self.fleet_name = f"benchmark-{self.name}-{os.getpid()}"
        command = [sys.executable, "-m", "kernelfleet.cli", "start", "-n", str(n)]
        self.process = subprocess.Popen(
            [*command, "--name", self.fleet_name], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError("the daemon did not start")
        self.mec = self.connect()
        self.executor = None

    def connect(self) -> MultiEngineClient:
        """A client that reaches it as others on this machine do."""
        return MultiEngineClient(self.fleet_name)

    def stop(self) -> None:
        if self.executor is not None:
            self.executor.shutdown()
        self.mec.close()
        self.process.terminate()
        self.process.wait()


def make() -> Peer:
    return DaemonPeer()
