"""The fleets that this process has started, and a client for each fleet that is used.

A fleet that was started here ends with this process, so that an agent leaves nothing behind. One
that shall live longer is started by its owner, with ``kernelfleet start``, and used from here.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from kernelfleet.client import access
from kernelfleet.client.client import MultiEngineClient
from kernelfleet.client.fleet import Fleet
from kernelfleet.errors.tree import FleetNotFound, SeveralFleets
from kernelfleet.wire.files import connection_file

#: A fleet of more engines than this is refused: it would be a slip, and take the machine along.
MAX_ENGINES = 256


@dataclass(frozen=True)
class Found:
    """A running fleet.

    Attributes:
        name: Its name.
        is_own: Whether it was started here, and ends with this process.
    """

    name: str
    is_own: bool


class Fleets:
    """Starts and stops fleets, and keeps a client of each. It may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own: dict[str, Fleet] = {}
        self._clients: dict[str, MultiEngineClient] = {}

    def found(self) -> list[Found]:
        """The running fleets of this user; those that were started here come first."""
        own = [Found(name, is_own=True) for name in self._names_of_own()]
        names = {each.name for each in own}
        others = [each.name for each in connection_file.find_fleets() if each.name not in names]
        return [*own, *(Found(name, is_own=False) for name in others)]

    def start(self, n: int, cwd: str | None) -> str:
        """Start a fleet, and return its name.

        Args:
            n: The number of engines, from 1 to ``MAX_ENGINES``.
            cwd: The folder in which the engines work; None takes that of this process.

        Raises:
            ValueError: The number is not in its range.
            StartError: An engine did not come up.
        """
        if not 1 <= n <= MAX_ENGINES:
            raise ValueError(f"a fleet has 1 to {MAX_ENGINES} engines, not {n}")
        fleet = Fleet(n=n, cwd=cwd)
        client = fleet.start()
        name = access.fleet_name(client)
        with self._lock:
            self._own[name], self._clients[name] = fleet, client
        return name

    def stop(self, name: str) -> None:
        """End a fleet with its engines, whoever has started it.

        Raises:
            FleetNotFound: There is no such fleet.
        """
        with self._lock:
            fleet = self._own.pop(name, None)
            client = self._clients.pop(name, None) if fleet is not None else None
        if fleet is not None:
            fleet.stop()
            if client is not None:
                client.close()
            return
        self.client(name).stop_fleet()
        with self._lock:
            client = self._clients.pop(name, None)
        if client is not None:
            client.close()

    def client(self, name: str | None) -> MultiEngineClient:
        """A client of the fleet called ``name``; without a name, of the only one there is.

        A fleet that was started here is preferred to others if no name is given.

        Raises:
            FleetNotFound: There is no such fleet, or none at all.
            SeveralFleets: No name is given, and there are several.
        """
        name = self._chosen(name)
        with self._lock:
            client = self._clients.get(name)
            if client is not None and access.is_open(client):
                return client
            if client is not None:
                client.close()
                del self._clients[name]
        client = MultiEngineClient(name)
        with self._lock:
            kept = self._clients.setdefault(name, client)
        if kept is not client:  # (two calls at the same time)
            client.close()
        return kept

    def close(self) -> None:
        """End the fleets that were started here, and let go of the others."""
        with self._lock:
            fleets, clients = list(self._own.values()), list(self._clients.values())
            self._own.clear()
            self._clients.clear()
        for client in clients:
            client.close()
        for fleet in fleets:
            fleet.stop()

    def _names_of_own(self) -> list[str]:
        with self._lock:
            return [name for name, fleet in self._own.items() if fleet.running]

    def _chosen(self, name: str | None) -> str:
        if name is not None:
            return name
        own = self._names_of_own()
        if len(own) == 1:
            return own[0]
        if own:
            raise SeveralFleets(f"several fleets were started here; name one of {', '.join(own)}")
        running = connection_file.find_fleets()
        if not running:
            raise FleetNotFound("no fleet is running; start_fleet(n=4) starts one")
        return connection_file.find_default().name
