"""The connection file of a fleet: what it says, and how a client finds it.

The file holds the addresses and the keys of a fleet. Whoever can read it can run code on the
engines, so it is readable by its owner only (mode 0600).
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from kernelfleet.errors.tree import FleetNotFound, SeveralFleets
from kernelfleet.wire.files.fleet_paths import DEFAULT_NAME, fleet_dir, fleets_dir, is_running
from kernelfleet.wire.files.private_files import read_any, read_own
from kernelfleet.wire.versions import PROTOCOL_VERSION

DEFAULT_PORT = 10105


@dataclass
class FleetFile:
    """The content of a connection file (``fleet.json``)."""

    name: str
    pid: int
    host: str
    started: float
    key: str = field(repr=False)
    ipc: str | None = None
    tcp: str | None = None
    server_public_key: str | None = None
    client_public_key: str | None = None
    client_secret_key: str | None = field(default=None, repr=False)
    embedded: bool = False
    #: Who has it: ``daemon`` for one in a process of its own, else ``notebook`` or ``session``.
    owner: str = "daemon"
    #: The path of the owner's notebook or script, where it is known.
    owner_path: str | None = None
    #: On what it runs; None is this machine.
    cluster: str | None = None
    sockets_dir: str | None = None
    version: int = PROTOCOL_VERSION
    kernelfleet: str = ""

    @property
    def path(self) -> Path:
        """The path of the connection file."""
        return fleet_dir(self.name) / "fleet.json"


_REQUIRED = [each.name for each in fields(FleetFile) if each.default is MISSING]


def read(name_or_path: str | os.PathLike[str]) -> FleetFile:
    """Read the connection file of a fleet.

    Args:
        name_or_path: A fleet's name, or the path of a connection file.

    Raises:
        FleetNotFound: There is no such file, it cannot be read, or another user may have written
            it.
    """
    by_path = os.sep in (text := os.fspath(name_or_path)) or text.endswith(".json")
    path = Path(text) if by_path else fleet_dir(text) / "fleet.json"
    try:
        # By name, only this user may have written it, because its controller sends pickles. A path
        # is the caller's decision.
        data: dict[str, Any] = json.loads(read_any(path) if by_path else read_own(path, above=2))
        known = {key: data[key] for key in FleetFile.__dataclass_fields__ if key in data}
        if lacking := [name for name in _REQUIRED if name not in known]:
            raise ValueError(f"it says nothing of {', '.join(lacking)}")
        return FleetFile(**known)
    except FileNotFoundError:
        raise FleetNotFound(_not_found_message(text, by_path)) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FleetNotFound(f"{path} is no connection file of a fleet: {error}") from error


def successor(source: str | os.PathLike[str], fleet: FleetFile) -> str | None:
    """Say that another fleet has replaced ``fleet``, which has ended; None if it has not."""
    try:
        now = read(source)
    except FleetNotFound:
        return None
    if now.key == fleet.key:
        return None
    return f"it has ended, and another fleet is called {now.name!r} now: make a new client"


def _not_found_message(name: str, by_path: bool) -> str:
    if not name:
        return "a fleet's name cannot be empty; leave it out to mean the default one"
    if address := re.fullmatch(r"(?:\w+://)?([\w.-]+):(\d+)/?", name):
        return f"{name!r} names no fleet: an address is a tuple, ('{address[1]}', {address[2]})"
    if by_path:
        return f"there is no connection file {name}: its fleet has ended, or it is elsewhere"
    names = [fleet.name for fleet in find_fleets()]
    running = f"running: {', '.join(names)}" if names else "none is running"
    return f"no fleet {name!r} ({running}); start one with `kernelfleet start --name {name}`"


def find_fleets() -> list[FleetFile]:
    """Return the running fleets of this user to which clients can connect, sorted by name."""
    found = []
    with contextlib.suppress(OSError):
        for path in sorted(fleets_dir().iterdir()):
            if (path / "fleet.json").exists() and is_running(path.name):
                with contextlib.suppress(FleetNotFound):
                    found.append(read(path.name))
    return [fleet for fleet in found if fleet.ipc or fleet.tcp or not fleet.embedded]


def find_default() -> FleetFile:
    """Return the fleet that is meant when none is named.

    That is the one named ``default``, else the only daemon, else the only embedded fleet of this
    process, else the only embedded one of another process. So the fleets of notebooks, which come
    and go, never stand in the way of a daemon.

    Raises:
        FleetNotFound: None is running.
        SeveralFleets: Several are running; the message lists them.
    """
    fleets = find_fleets()
    for fleet in fleets:
        if fleet.name == DEFAULT_NAME:
            return fleet
    daemons = [fleet for fleet in fleets if not fleet.embedded]
    ours = [fleet for fleet in fleets if fleet.embedded and _is_of_this_process(fleet)]
    meant = daemons or ours or fleets
    if len(meant) == 1:
        return meant[0]
    if fleets:
        names = ", ".join(map(_described, fleets))
        raise SeveralFleets(f"several fleets are running, name one of them: {names}")
    raise FleetNotFound(
        "no fleet is running: start one with `kernelfleet start -n 4`, "
        "or in Python with `Fleet(n=4)`"
    )


def _is_of_this_process(fleet: FleetFile) -> bool:
    return fleet.pid == os.getpid() and fleet.host == platform.node()


def _described(fleet: FleetFile) -> str:
    path = fleet.owner_path
    return repr(fleet.name) if path is None else f"{fleet.name!r} (of {os.path.basename(path)})"


def find_by_address(host: str, port: int) -> FleetFile:
    """Return the fleet of this user that listens at a TCP address.

    Raises:
        FleetNotFound: No connection file has the address, so there is no key to use.
    """
    wanted = {f"tcp://{host}:{port}"}
    if host in ("localhost", "127.0.0.1"):
        wanted |= {f"tcp://127.0.0.1:{port}", f"tcp://localhost:{port}"}
    for fleet in find_fleets():
        if fleet.tcp in wanted:
            return fleet
    running = ", ".join(f"{fleet.name} at {fleet.tcp}" for fleet in find_fleets() if fleet.tcp)
    raise FleetNotFound(
        f"no fleet of yours listens at {host}:{port} ({running or 'none is running'}); "
        "start one with `kernelfleet start -n 4`, or pass the path of its connection file"
    )
