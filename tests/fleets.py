"""The fleets that tests share, and how an engine's past is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import pytest

from kernelfleet import Fleet, MultiEngineClient
from tests.dask_cluster import dask_cluster

N = 4
#: Of the fleet on a cluster; each has as many engines as the others.
NODES = 2
NAME = "shared"

_DAEMON = """
import json, sys
from kernelfleet.controller.daemon import run_daemon
from kernelfleet.controller.host import FleetHost
from kernelfleet.controller.options import FleetOptions
options = FleetOptions.of(**json.loads(sys.argv[1]))
if options.cluster is None:
    host_class = FleetHost
else:
    from kernelfleet.head.host import ClusterHost as host_class
run_daemon(options, lambda fleet: print(fleet.tcp, flush=True), host_class=host_class)
"""


class Daemon:
    """A fleet with a controller of its own process."""

    def __init__(self, runtime_dir: str | None = None, **options: Any) -> None:
        command = [sys.executable, "-c", _DAEMON, json.dumps(options)]
        runtime_dir = runtime_dir or os.environ["JUPYTER_RUNTIME_DIR"]
        self.name: str = options["name"]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "JUPYTER_RUNTIME_DIR": runtime_dir},
        )
        assert self._process.stdout is not None
        url = self._process.stdout.readline().strip()
        assert url, "the daemon did not start"
        self.port = int(url.rpartition(":")[2])

    def close(self) -> None:
        """It must end well, if it has not ended."""
        assert self._process.stdout is not None
        self._process.terminate()
        self._process.stdout.close()
        assert self._process.wait(timeout=10) == 0


class SharedFleets:
    """Each is started when somebody first wants a client of it."""

    def __init__(self) -> None:
        self._ends = contextlib.ExitStack()

    def client(self, transport: str) -> MultiEngineClient:
        """A new client over 'embedded', 'unix' or 'tcp', or of the fleet on a 'cluster'."""
        match transport:
            case "embedded":
                return self.embedded.client()
            case "cluster":
                return MultiEngineClient(self.on_cluster)
            case "tcp":
                return MultiEngineClient(("127.0.0.1", self.daemon.port))
            case _:
                return MultiEngineClient(self.daemon.name)

    @functools.cached_property
    def embedded(self) -> Fleet:
        """The one in this process."""
        fleet = Fleet(N)
        fleet.start()
        self._ends.callback(fleet.stop)
        return fleet

    @functools.cached_property
    def daemon(self) -> Daemon:
        """The one that is reached over a Unix socket and over TCP."""
        daemon = Daemon(n=N, name=NAME)
        self._ends.callback(daemon.close)
        return daemon

    @functools.cached_property
    def on_cluster(self) -> str:
        """The connection file of the one on two workers of Dask.

        It is not where others look: the only fleet that is found without a name is the daemon.
        """
        pytest.importorskip("distributed", reason="a cluster needs Dask")
        address = self._ends.enter_context(dask_cluster(NODES, N // NODES, processes=False))
        apart = self._ends.enter_context(tempfile.TemporaryDirectory(prefix="kf-t-", dir="/tmp"))
        daemon = Daemon(apart, n=N, name=NAME, cluster=address)
        self._ends.callback(daemon.close)
        return f"{apart}/kernelfleet/{NAME}/fleet.json"

    def stop(self) -> None:
        """End all of them, the last one first; a daemon must end well."""
        self._ends.close()


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
