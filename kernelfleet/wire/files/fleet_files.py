"""Where a fleet lives on disk, and how a client finds it.

A fleet owns ``<jupyter runtime>/kernelfleet/<name>/`` (0700), with

- ``lock``: held (flock) as long as the controller lives; that, not a pid, says whether it does,
- ``fleet.json`` (0600): addresses and keys; whoever can read it can run code on the engines,
- the sockets, or ``sockets_dir`` names a short private directory where paths would get too long.

All of it goes when the fleet stops; what a crashed fleet left is removed by the next start.
Logs live elsewhere, in ``log_dir``: they are wanted after a crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_data_dir, jupyter_runtime_dir

from kernelfleet.errors.tree import FleetExists, FleetNotFound, SeveralFleets
from kernelfleet.wire.files.private_files import (
    is_ours,
    open_private,
    private_dir,
    read_any,
    read_own,
    refuse_shared,
    telling_what_to_set,
    try_lock,
    write_private,
)
from kernelfleet.wire.platforms import HERE
from kernelfleet.wire.versions import PROTOCOL_VERSION

DEFAULT_NAME = "default"
DEFAULT_PORT = 10105

MAX_SOCKET_PATH_BYTES = HERE.max_socket_path_bytes
#: Room for the longest name put below ``sockets_dir``: ``e9999-9999-ipc-5``.
SOCKET_NAME_BYTES = 24

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass
class FleetFile:
    """What ``fleet.json`` says."""

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
    sockets_dir: str | None = None
    version: int = PROTOCOL_VERSION
    kernelfleet: str = ""

    @property
    def path(self) -> Path:
        """The connection file."""
        return fleet_dir(self.name) / "fleet.json"


_REQUIRED = [each.name for each in fields(FleetFile) if each.default is MISSING]


def fleets_dir() -> Path:
    """The directory that holds a directory per fleet."""
    return Path(jupyter_runtime_dir()) / "kernelfleet"


def fleet_dir(name: str) -> Path:
    """The runtime directory of the fleet called ``name``."""
    return fleets_dir() / name


def log_dir(name: str) -> Path:
    """Where the controller and the engines of a fleet write their logs."""
    return Path(jupyter_data_dir()) / "kernelfleet" / "logs" / name


def make_log_dir(name: str) -> Path:
    """Make the directory for the logs of a fleet, private: they hold what users print.

    Raises:
        PermissionError: it is a symlink, or belongs to somebody else.
    """
    path = log_dir(name)
    with telling_what_to_set(path):
        for each in (path.parent.parent, path.parent):
            private_dir(each)
        return private_dir(path)


def check_name(name: str) -> str:
    """Give ``name`` back if it can be a fleet's name.

    Raises:
        ValueError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a fleet: use up to 64 letters, digits, '-', '_' and '.', "
            "a letter or digit first"
        )
    return name


class FleetDirectory:
    """The runtime directory of a fleet we run: taken at creation, gone after ``remove``."""

    def __init__(self, name: str) -> None:
        self.name = check_name(name)
        with telling_what_to_set(fleets_dir()):
            refuse_shared(fleets_dir().parent)
            private_dir(fleets_dir())
        self.path, self._lock = _take(name)
        self._sockets: Path | None = None
        self._info: FleetFile | None = None
        #: Called when the directory had to be made again: sockets are to be bound once more.
        self.when_restored: list[Callable[[], object]] = []

    @property
    def sockets(self) -> Path:
        """A private directory in which socket paths stay short enough."""
        if self._sockets is None:
            longest = len(os.fsencode(self.path)) + SOCKET_NAME_BYTES
            if longest <= MAX_SOCKET_PATH_BYTES:
                self._sockets = self.path
            else:
                short = "/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()  # noqa: S108
                self._sockets = Path(tempfile.mkdtemp(prefix="kf-", dir=short))
                write_private(self.path / "sockets_dir", str(self._sockets), above=2)
        return self._sockets

    def write(self, info: FleetFile) -> Path:
        """Put the connection file in place, complete or not at all."""
        self._info = info
        target, temporary = self.path / "fleet.json", self.path / ".fleet.json"
        fd = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, above=2)
        try:
            with os.fdopen(fd, "w") as file:
                json.dump(asdict(info), file, indent=1)
        except OSError as error:  # which does not say where there is no space
            temporary.unlink()
            raise OSError(error.errno, error.strerror, str(target)) from error
        temporary.replace(target)
        return target

    def restore(self) -> bool:
        """Make the directory again if somebody has deleted it; whether that was necessary.

        Raises:
            FleetExists: another fleet has taken the name meanwhile.
            OSError: it cannot be made.
        """
        if self._lock < 0 or self._is_whole():
            return False
        if not _is_still(self.path / "lock", self._lock):
            _, lock = _take(self.name)
            os.close(self._lock)
            self._lock = lock
        if self._sockets is not None and self._sockets != self.path:
            private_dir(self._sockets)
            write_private(self.path / "sockets_dir", str(self._sockets), above=2)
        if self._info is not None:
            self.write(self._info)
        for call in self.when_restored:
            call()
        return True

    def _is_whole(self) -> bool:
        written = self._info is None or (self.path / "fleet.json").exists()
        sockets = self._sockets is None or self._sockets.is_dir()
        return written and sockets and _is_still(self.path / "lock", self._lock)

    def remove(self) -> None:
        """Remove everything and let the name go. Safe to call twice."""
        if self._lock < 0:
            return
        if _is_still(self.path / "lock", self._lock):  # else it is a successor's, or nobody's
            _remove_tree(self.path)
        if self._sockets is not None and self._sockets != self.path:
            shutil.rmtree(self._sockets, ignore_errors=True)
        os.close(self._lock)
        self._lock = -1


def _take(name: str) -> tuple[Path, int]:
    """Create the directory of ``name`` and hold its lock, removing what a crash left."""
    path = fleet_dir(name)
    refused = 0
    for _ in range(100):
        private_dir(path)
        try:
            lock = open_private(path / "lock", os.O_RDWR | os.O_CREAT, above=2)
        except FileNotFoundError:  # somebody is cleaning up
            continue
        if not try_lock(lock):
            os.close(lock)
            refused += 1
            if refused == 5:
                raise FleetExists(_exists_message(name))
            time.sleep(0.01)  # whoever asks whether the fleet runs holds the lock for an instant
            continue
        if _is_still(path / "lock", lock):
            for left in path.iterdir():
                if left.name == "sockets_dir":
                    _remove_short_dir(left)
                if left.name != "lock":
                    _remove(left)
            return path, lock
        os.close(lock)
    raise FleetExists(f"could not take the directory {path}: others keep recreating it")


def _exists_message(name: str) -> str:
    try:
        pid = f" (pid {read(name).pid})"
    except (FleetNotFound, OSError):
        pid = ""
    return (
        f"a fleet named {name!r} is already running{pid}: connect to it, stop it with "
        f"`kernelfleet stop {name}`, or choose another --name"
    )


def _is_still(path: Path, fd: int) -> bool:
    """Whether the open file is the one at ``path``, not one just removed."""
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _remove_short_dir(note: Path) -> None:
    """Remove the short socket directory that ``note`` names, if it is one of ours."""
    with contextlib.suppress(OSError):
        short = Path(read_own(note, above=2))
        info = short.lstat()
        if short.name.startswith("kf-") and stat.S_ISDIR(info.st_mode) and is_ours(info):
            shutil.rmtree(short, ignore_errors=True)


def _remove_tree(path: Path) -> None:
    note = path / "sockets_dir"
    if note.exists():
        _remove_short_dir(note)
    shutil.rmtree(path, ignore_errors=True)


def is_running(name: str) -> bool:
    """Whether a controller holds the lock of this fleet."""
    try:
        lock = open_private(fleet_dir(name) / "lock", os.O_RDWR, above=2)
    except OSError:
        return False
    try:
        return not try_lock(lock)
    finally:
        os.close(lock)


def remove_stale() -> list[str]:
    """Remove what crashed fleets left behind; returns their names."""
    removed = []
    with contextlib.suppress(OSError):
        for path in fleets_dir().iterdir():
            lock_path = path / "lock"
            try:
                lock = open_private(lock_path, os.O_RDWR, above=2)
            except OSError:
                continue
            if try_lock(lock) and _is_still(lock_path, lock):
                _remove_tree(path)
                removed.append(path.name)
            os.close(lock)
    return removed


def read(name_or_path: str | os.PathLike[str]) -> FleetFile:
    """Read the connection file of a fleet.

    Args:
        name_or_path: A fleet's name, or the path of a connection file.

    Raises:
        FleetNotFound: there is none, or it is not readable.
    """
    by_path = os.sep in (text := os.fspath(name_or_path)) or text.endswith(".json")
    path = Path(text) if by_path else fleet_dir(text) / "fleet.json"
    try:
        # By name, it must be ours: its controller sends us pickles. A path is the caller's word.
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
    """Why the controller of ``fleet`` will not come back: its file is another's now. Or None."""
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
    """The running fleets of this user that others can connect to, by name."""
    found = []
    with contextlib.suppress(OSError):
        for path in sorted(fleets_dir().iterdir()):
            if (path / "fleet.json").exists() and is_running(path.name):
                with contextlib.suppress(FleetNotFound):
                    found.append(read(path.name))
    return [fleet for fleet in found if not fleet.embedded]


def find_default() -> FleetFile:
    """The fleet named ``default``, else the only one running.

    Raises:
        FleetNotFound: none runs; or several do (SeveralFleets), which the message lists.
    """
    fleets = find_fleets()
    for fleet in fleets:
        if fleet.name == DEFAULT_NAME:
            return fleet
    if len(fleets) == 1:
        return fleets[0]
    if fleets:
        names = ", ".join(repr(fleet.name) for fleet in fleets)
        raise SeveralFleets(f"several fleets are running, name one of them: {names}")
    raise FleetNotFound(
        "no fleet is running: start one with `kernelfleet start -n 4`, "
        "or in Python with `Fleet(n=4)`"
    )


def find_by_address(host: str, port: int) -> FleetFile:
    """The fleet of this user that listens at a TCP address.

    Raises:
        FleetNotFound: no connection file names the address, so there is no key to use.
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
