"""Dask on the hosts: a scheduler on this machine and a worker per host, over mutual TLS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from tests.cluster.certificates import Certificates
from tests.cluster.hosts import Host, Network, Running
from tests.fleets import eventually

PORT = 8786
DASK = [sys.executable, "-m", "dask"]


class DaskHosts:
    """A scheduler and its workers; ``close`` ends them all."""

    def __init__(self, network: Network, certificates: Certificates | None) -> None:
        self.network, self.certificates = network, certificates
        self.protocol = "tcp" if certificates is None else "tls"
        self.address = f"{self.protocol}://{network.address}:{PORT}"
        self._tls = [] if certificates is None else certificates.options
        self._logs = network.folder
        self._files: list[TextIO] = []
        self.workers: dict[Host, Running] = {}
        self.scheduler = subprocess.Popen(
            [
                *(*DASK, "scheduler", "--host", network.address, "--port", str(PORT)),
                *("--protocol", self.protocol, "--no-dashboard", *self._tls),
            ],
            stdout=self._log("scheduler"),
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment},
        )
        # a worker that comes before its scheduler asks again after seconds
        eventually(lambda: "Scheduler at" in self.said("scheduler"), 20)

    @property
    def environment(self) -> dict[str, str]:
        """What Dask's clients, and all that start one, need in their environment."""
        return {} if self.certificates is None else self.certificates.environment

    def worker(
        self, host: Host, *options: str, slots: int = 2, env: Mapping[str, str] | None = None
    ) -> Running:
        """Start a worker on a host, as `dask worker` does with one process a host."""
        self.workers[host] = host.popen(
            [
                *(*DASK, "worker", self.address, "--host", host.address, "--name", host.name),
                *("--nthreads", str(slots), "--nworkers", "1", "--memory-limit", "0"),
                *("--dashboard-address", "127.0.0.1:0", *self._tls, *options),
            ],
            env={**self.environment, **(env or {})},
            stdout=self._log(host.name),
            stderr=subprocess.STDOUT,
        )
        return self.workers[host]

    @property
    def is_whole(self) -> bool:
        """Whether the scheduler and all workers, with their nannies, are still there."""
        return self.scheduler.poll() is None and all(
            host.is_up and worker.poll() is None and host.find("multiprocessing.spawn")
            for host, worker in self.workers.items()
        )

    def wait(self, n: int, seconds: float = 30.0) -> None:
        """Wait until so many workers have registered."""
        with self.client() as client:
            client.wait_for_workers(n, timeout=seconds)

    def client(self) -> Any:
        """A client of Dask's."""
        from distributed import Client

        return Client(self.address, set_as_default=False, timeout=30)

    def said(self, name: str) -> str:
        """What the scheduler, or the worker of a host, has printed."""
        return (self._logs / f"dask-{name}.log").read_text()

    def _log(self, name: str) -> TextIO:
        self._files.append((self._logs / f"dask-{name}.log").open("w", encoding="utf-8"))
        return self._files[-1]

    def close(self) -> None:
        """End everything."""
        for worker in self.workers.values():
            worker.end()
        self.scheduler.kill()
        self.scheduler.wait(10)
        for file in self._files:
            file.close()
