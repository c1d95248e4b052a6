"""A fleet over three hosts: its head is in this process, Dask's scheduler beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psutil

from kernelfleet import Fleet, MultiEngineClient
from kernelfleet.errors import CompositeError
from kernelfleet.results import EngineInfo
from tests.cluster.dask_hosts import DaskHosts
from tests.cluster.hosts import Host, Network

#: What the command lines of nodes and engines have, and those of Dask's workers have not.
OURS = "kernelfleet."


class FleetOnHosts:
    """Six engines on three hosts with two slots each."""

    def __init__(self, dask: DaskHosts, n: int = 6, **options: Any) -> None:
        self.dask, self.network = dask, dask.network
        self.fleet = Fleet(n, cluster=dask.address, **options)
        self.mec: MultiEngineClient = self.fleet.start()

    def engines(self, host: Host) -> list[EngineInfo]:
        """Those on a host."""
        return [engine for engine in self.mec.engines() if engine.node == host.name]

    def ids(self, host: Host) -> list[int]:
        """The ids of those on a host."""
        return [engine.id for engine in self.engines(host)]

    def process(self, host: Host, engine: EngineInfo) -> psutil.Process:
        """The process of an engine."""
        assert engine.pid is not None
        return host.process(engine.pid)

    def node(self, host: Host) -> psutil.Process:
        """The process of a host's node controller."""
        (node,) = [
            process for process in host.find("-m kernelfleet.node") if process.name() != "sh"
        ]
        return node


def assert_nothing_of_ours(network: Network, seconds: float = 3.0) -> float:
    """Nothing of a fleet runs on any host; returns how long it took."""
    began = time.monotonic()
    for host in network.hosts:
        if host.is_up:
            host.assert_quiet(OURS, seconds)
    return time.monotonic() - began


def seconds_until_told(call: Callable[[], Any]) -> tuple[float, CompositeError]:
    """How long a call takes to fail, and how."""
    began = time.monotonic()
    try:
        call()
    except CompositeError as error:
        return time.monotonic() - began, error
    raise AssertionError("it did not fail")
