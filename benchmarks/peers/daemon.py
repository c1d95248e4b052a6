"""kernelfleet, with the controller in a process of its own, reached by its Unix socket."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.peers.base import Peer
from benchmarks.peers.fleet import FleetPeer
from kernelfleet import MultiEngineClient


class DaemonPeer(FleetPeer):
    """As after ``kernelfleet start``. Only on request: ``--sides kernelfleet,daemon``."""

    name = "daemon"

    def start(self, n: int) -> None:
        fleet = f"benchmark-{os.getpid()}"
        command = [sys.executable, "-m", "kernelfleet.cli", "start", "-n", str(n), "--no-tcp"]
        self.process = subprocess.Popen([*command, "--name", fleet], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError("the daemon did not start")
        self.mec = MultiEngineClient(fleet)
        self.executor = None

    def stop(self) -> None:
        if self.executor is not None:
            self.executor.shutdown()
        self.mec.close()
        self.process.terminate()
        self.process.wait()


def make() -> Peer:
    return DaemonPeer()
