"""A daemon and clients that reach it over TCP through a proxy that a test drives."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from kernelfleet import MultiEngineClient
from kernelfleet.errors import ControllerUnreachable
from tests.fleets import eventually
from tests.journeys.daemons import OwnFleet
from tests.journeys.proxies import Proxy


class Network:
    """``client`` comes through the ``proxy``; ``neighbour`` is another client, beside it."""

    def __init__(self, fleet: OwnFleet, directory: Path, *, record: bool = False) -> None:
        self.fleet = fleet
        self.proxy = Proxy(fleet.port, record=record)
        self._file = directory / "fleet.json"
        known = json.loads((fleet.directory / "fleet.json").read_text())
        self.fleet_key: str = known["key"]
        self._file.write_text(json.dumps({**known, "ipc": None, "tcp": self.proxy.url}))
        self._clients: list[MultiEngineClient] = []

    def client(self) -> MultiEngineClient:
        """A client that comes through the proxy."""
        self._clients.append(MultiEngineClient(self._file))
        return self._clients[-1]

    def neighbour(self) -> MultiEngineClient:
        """A client on the Unix socket, whom the proxy does not concern."""
        self._clients.append(MultiEngineClient(self.fleet.name))
        return self._clients[-1]

    def close(self) -> None:
        """End the clients and the proxy; the fleet stays."""
        for client in self._clients:
            client.close()
        self.proxy.close()


def raises_unreachable(call: Callable[[], object], within: float) -> ControllerUnreachable:
    """The error of a call that must fail within so many seconds."""
    began = time.monotonic()
    try:
        call()
    except ControllerUnreachable as error:
        assert time.monotonic() - began < within
        return error
    raise AssertionError("the call was answered")


def heals(mec: MultiEngineClient, seconds: float = 10.0) -> float:
    """Seconds until calls of a client that had lost its controller are answered again."""
    began = time.monotonic()

    def answers() -> bool:
        try:
            mec.queue_status()
        except ControllerUnreachable:
            return False
        return True

    eventually(answers, seconds)
    return time.monotonic() - began
