"""The fleets that tests share, and how an engine's past is forgotten."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from kernelfleet import Fleet, MultiEngineClient

N = 4
#: Of the fleet on a cluster; each has as many engines as the others.
NODES = 2
NAME = "shared"

_DAEMON = f"""
from kernelfleet.controller.daemon import run_daemon
from kernelfleet.controller.options import FleetOptions
run_daemon(FleetOptions.of(n={N}, name={NAME!r}), lambda fleet: print(fleet.tcp, flush=True))
"""


class SharedFleets:
    """Each is started when somebody first wants a client of it."""

    def __init__(self) -> None:
        self._embedded: Fleet | None = None
        self._on_cluster: Fleet | None = None
        self._cluster: Any = None
        self._daemon: subprocess.Popen[str] | None = None
        self.port = 0

    def client(self, transport: str) -> MultiEngineClient:
        """A new client over 'embedded', 'unix' or 'tcp', or of the fleet on a 'cluster'."""
        if transport == "embedded":
            return self.embedded.client()
        if transport == "cluster":
            return self.on_cluster.client()
        self._start_daemon()
        return MultiEngineClient(NAME if transport == "unix" else ("127.0.0.1", self.port))

    @property
    def embedded(self) -> Fleet:
        """The one in this process."""
        if self._embedded is None:
            self._embedded = Fleet(N)
            self._embedded.start()
        return self._embedded

    @property
    def on_cluster(self) -> Fleet:
        """The one on two workers of Dask."""
        if self._on_cluster is None:
            distributed = pytest.importorskip("distributed", reason="a cluster needs Dask")
            self._cluster = distributed.LocalCluster(
                n_workers=NODES,
                processes=False,  # of Dask's; a node is always a process
                protocol="tcp://",
                threads_per_worker=N // NODES,
                memory_limit=0,
                dashboard_address=":0",  # (None would take port 8787, which another run may have)
                silence_logs=logging.ERROR,
            )
            self._on_cluster = Fleet(N, cluster=self._cluster)
            self._on_cluster.start()
        return self._on_cluster

    def _start_daemon(self) -> None:
        if self._daemon is not None:
            return
        command = [sys.executable, "-c", _DAEMON]
        self._daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._daemon.stdout is not None
        url = self._daemon.stdout.readline().strip()
        assert url, "the daemon did not start"
        self.port = int(url.rpartition(":")[2])

    def stop(self) -> None:
        """End all of them; the daemon must end well."""
        if self._embedded is not None:
            self._embedded.stop()
        if self._on_cluster is not None:
            self._on_cluster.stop()
        if self._cluster is not None:
            self._cluster.close()
        if self._daemon is not None:
            assert self._daemon.stdout is not None
            self._daemon.terminate()
            self._daemon.stdout.close()
            assert self._daemon.wait(timeout=10) == 0


def make_ready(mec: MultiEngineClient) -> None:
    """Four idle engines with empty namespaces, histories, queues and properties."""
    dead = [engine.id for engine in mec.engines() if engine.state == "dead"]
    if dead:
        mec.restart(dead, timeout=30)
    if any(status["pending"] for _, status in mec.queue_status()):
        mec.clear_queue()
        mec.interrupt()
    mec.reset(timeout=30)


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that nothing announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """``eventually``, while the loop goes on."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (nothing announces it)
            await asyncio.sleep(0.002)
