"""Fleets of a test's own, embedded or in a process of their own, over any transport."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import psutil
import pytest

from kernelfleet import Fleet, MultiEngineClient
from kernelfleet.wire.files import fleet_paths
from tests.nodes import make_ssh, path_with

_DAEMON = """
import json, sys
from dataclasses import asdict
from kernelfleet.controller.daemon import run_daemon
from kernelfleet.controller.options import FleetOptions
options = FleetOptions.of(**json.loads(sys.argv[1]))
run_daemon(options, lambda fleet: print(json.dumps(asdict(fleet)), flush=True))
"""

#: Every process of a fleet inherits it, also one that has left its family.
MARK = "KERNELFLEET_TEST_MARK"

_names = itertools.count(1)


class OwnFleet:
    """A fleet for one test: ``client()`` as often as wanted, ``stop()`` or kill what you like."""

    #: What a daemon's process runs.
    daemon = _DAEMON

    def __init__(self, transport: str = "unix", n: int = 2, **options: object) -> None:
        self.transport = transport
        self.mark = uuid.uuid4().hex
        self.name = f"own-{next(_names)}"
        self.clients: list[MultiEngineClient] = []
        self.fleet: Fleet | None = None
        self.process: subprocess.Popen[str] | None = None
        if transport == "embedded":
            self.fleet = Fleet(n, env={MARK: self.mark}, **options)  # type: ignore[arg-type]
            self.fleet.start()
        elif transport == "nodes":
            self._start_on_two_nodes(n, options)
        else:
            self._start_daemon({"n": n, "name": self.name, **options})

    def _start_on_two_nodes(self, n: int, options: dict[str, object]) -> None:
        """An embedded head, and two nodes on this machine."""
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", path_with(make_ssh(Path(folder))))
            self.fleet = Fleet(n, env={MARK: self.mark}, cluster="ssh:one,two", **options)  # type: ignore[arg-type]
            self.fleet.start()

    def _start_daemon(self, options: dict[str, object]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.daemon, json.dumps(options)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, MARK: self.mark},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the daemon did not start"
        self.port = int(json.loads(line)["tcp"].rpartition(":")[2])

    @property
    def address(self) -> str | tuple[str, int]:
        """What a client is given."""
        return self.name if self.transport == "unix" else ("127.0.0.1", self.port)

    def client(self) -> MultiEngineClient:
        """A new client."""
        client = self.fleet.client() if self.fleet is not None else MultiEngineClient(self.address)
        self.clients.append(client)
        return client

    def processes(self) -> list[psutil.Process]:
        """Every living process that descends from the fleet, wherever it has gone."""
        return marked(self.mark)

    @property
    def directory(self) -> Path:
        """The runtime directory of a daemon."""
        return fleet_paths.fleet_dir(self.name)

    def kill(self) -> None:
        """Kill the controller of a daemon, and wait until it is dead."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """End it as its owner would."""
        if self.fleet is not None:
            self.fleet.stop()
        elif self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(20) == 0

    def clean_up(self) -> None:
        """After the test, whatever state it left."""
        for client in self.clients:
            client.close()
        try:
            self.stop()
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.wait(10)
                assert self.process.stdout is not None
                self.process.stdout.close()
            for process in self.processes():
                process.kill()


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that carry a mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found
