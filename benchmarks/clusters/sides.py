"""Who is compared over the same hosts: fleets, Dask's own calls, and ipyparallel."""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ipyparallel as ipp
from distributed import Client

from benchmarks import functions
from benchmarks.peers.base import DoesNotApplyError, Peer
from benchmarks.peers.distributed import DaskPeer
from benchmarks.peers.fleet import FleetPeer
from benchmarks.peers.parallel import IpyparallelPeer
from kernelfleet import Fleet
from tests.cluster.dask_hosts import DaskHosts
from tests.cluster.hosts import Network


class ClusterFleet(FleetPeer):
    """A fleet over the workers of a Dask cluster; of none, on this machine."""

    def __init__(self, name: str, address: str | None) -> None:
        self.name, self._address = name, address

    def start(self, n: int) -> None:
        options: dict[str, Any] = {} if self._address is None else {"cluster": self._address}
        self.fleet = Fleet(n, **options)
        self.mec = self.fleet.start()
        self.executor = None


class DaskOnHosts(DaskPeer):
    """Dask's ``run``, ``scatter`` and ``map`` over workers that are there."""

    def __init__(self, name: str, hosts: DaskHosts) -> None:
        self.name, self._hosts = name, hosts

    def start(self, n: int) -> None:
        self.client = Client(self._hosts.address, set_as_default=False)
        self.client.run(functions.increment, 1)
        self.workers = list(self.client.scheduler_info(n_workers=-1)["workers"])
        self.kept = {}

    def stop(self) -> None:
        self.kept.clear()
        self.client.close()


class IpyparallelOnHosts(IpyparallelPeer):
    """A controller on this machine, and engines on the hosts, as its documentation has it."""

    def __init__(self, name: str, network: Network, folder: Path) -> None:
        self.name, self._network, self._folder = name, network, folder

    def start(self, n: int) -> None:
        profile = self._folder / "profile"
        self.controller = subprocess.Popen(
            [
                *(sys.executable, "-m", "ipyparallel.controller", f"--profile-dir={profile}"),
                *(f"--ip={self._network.address}", "--log-level=40", "--nodb"),
            ],
            stderr=subprocess.DEVNULL,
        )
        file = profile / "security" / "ipcontroller-engine.json"
        _wait_for(file)
        hosts = self._network.hosts
        for i in range(n):
            hosts[i % len(hosts)].popen(
                [sys.executable, "-m", "ipyparallel.engine", f"--file={file}", "--log-level=40"],
                stderr=subprocess.DEVNULL,
            )
        client_file = profile / "security" / "ipcontroller-client.json"
        self.client = ipp.Client(str(client_file))
        self.client.wait_for_engines(n, timeout=60)
        self.view = self.client[:]
        self.one = self.client[0]
        self.balanced = self.client.load_balanced_view()
        self.view.apply_sync(functions.increment, 1)

    def stop(self) -> None:
        self.client.shutdown(hub=True, block=True)
        self.client.close()
        self.controller.wait(20)


def _wait_for(file: Path) -> None:
    from tests.fleets import eventually

    def is_whole() -> bool:
        try:
            return bool(json.loads(file.read_text()))
        except (OSError, ValueError):
            return False

    eventually(is_whole, 30)


def interrupt(peer: Peer) -> float:
    """Seconds until all engines, which loop, have ended their loop."""
    import time

    if isinstance(peer, ClusterFleet):
        mec = peer.mec
        pending = mec.execute("print('on', flush=True)\nwhile True: pass", block=False)
        while any("on" not in text for text in pending.stdout.values()):
            time.sleep(0.005)
        began = time.perf_counter()
        mec.interrupt()
        pending.exception(timeout=30)
        return time.perf_counter() - began
    if isinstance(peer, IpyparallelOnHosts):
        pending = peer.view.apply_async(_loop)
        time.sleep(0.5)
        began = time.perf_counter()
        peer.client.send_signal(2, targets=peer.client.ids, block=True)
        pending.wait(30)
        if not pending.ready():
            raise RuntimeError("ipyparallel's engines were not interrupted")
        return time.perf_counter() - began
    raise DoesNotApplyError


def _loop() -> None:
    while True:
        pass
