"""The runtime directory of a fleet, as the controller that owns it takes, keeps and removes it.

``fleet_paths`` says what is in it. Everything in it is removed when the fleet stops; what a crashed
fleet has left is removed when the next one starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from kernelfleet.errors.tree import FleetExists, FleetNotFound
from kernelfleet.wire.files.connection_file import FleetFile, read
from kernelfleet.wire.files.fleet_paths import check_name, fleet_dir, fleets_dir
from kernelfleet.wire.files.private_files import (
    is_ours,
    open_private,
    private_dir,
    read_own,
    refuse_shared,
    telling_what_to_set,
    try_lock,
    write_private,
)
from kernelfleet.wire.platforms import HERE

MAX_SOCKET_PATH_BYTES = HERE.max_socket_path_bytes
#: Bytes to reserve for the longest name of a socket below ``sockets_dir``: ``e9999-9999-ipc-5``.
SOCKET_NAME_BYTES = 24
#: How often taking a directory is tried while other processes keep removing it, and after how many
#: refusals its lock counts as held.
_ATTEMPTS, _REFUSALS = 100, 5


class FleetDirectory:
    """The runtime directory of a fleet of this process, locked from creation to ``remove``."""

    def __init__(self, name: str) -> None:
        self.name = check_name(name)
        with telling_what_to_set(fleets_dir()):
            refuse_shared(fleets_dir().parent)
            private_dir(fleets_dir())
        self.path, self._lock = _take(name)
        self._sockets: Path | None = None
        self._info: FleetFile | None = None
        #: Functions to call after the directory was made again, which bind the sockets again.
        self.when_restored: list[Callable[[], object]] = []

    @property
    def sockets(self) -> Path:
        """A private directory in which the paths of sockets are short enough."""
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
        """Write the connection file: readers see it complete or not at all."""
        self._info = info
        target, temporary = self.path / "fleet.json", self.path / ".fleet.json"
        fd = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, above=2)
        try:
            with os.fdopen(fd, "w") as file:
                json.dump(asdict(info), file, indent=1)
        except OSError as error:  # add the path: a full disk is reported without it
            temporary.unlink()
            raise OSError(error.errno, error.strerror, str(target)) from error
        temporary.replace(target)
        return target

    def restore(self) -> bool:
        """Make the directory again if somebody has deleted it. Return whether that was necessary.

        Raises:
            FleetExists: Another fleet has taken the name meanwhile.
            OSError: The directory cannot be made.
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
        """Remove everything and release the name. A second call does nothing."""
        if self._lock < 0:
            return
        if _is_still(self.path / "lock", self._lock):  # otherwise it is a successor's, or gone
            _remove_tree(self.path)
        if self._sockets is not None and self._sockets != self.path:
            shutil.rmtree(self._sockets, ignore_errors=True)
        os.close(self._lock)
        self._lock = -1


def _take(name: str) -> tuple[Path, int]:
    """Make the directory of ``name``, lock it, and remove what a crashed fleet has left in it."""
    path = fleet_dir(name)
    refused = 0
    for _ in range(_ATTEMPTS):
        private_dir(path)
        try:
            lock = open_private(path / "lock", os.O_RDWR | os.O_CREAT, above=2)
        except FileNotFoundError:  # another process is removing it
            continue
        if not try_lock(lock):
            os.close(lock)
            refused += 1
            if refused == _REFUSALS:
                raise FleetExists(_exists_message(name))
            time.sleep(0.01)  # is_running of another process holds the lock for an instant
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
    """Tell whether the open file is the one at ``path``, not one that was removed."""
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
    """Remove the short socket directory that ``note`` names, if this user has made it."""
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


class Stale(NamedTuple):
    """A fleet that has crashed."""

    name: str
    #: Whether it was part of its user's process; nobody looks for the logs of such a fleet.
    embedded: bool


def remove_stale() -> list[Stale]:
    """Remove what crashed fleets have left, and return which they were."""
    removed = []
    with contextlib.suppress(OSError):
        for path in fleets_dir().iterdir():
            lock_path = path / "lock"
            try:
                lock = open_private(lock_path, os.O_RDWR, above=2)
            except OSError:
                continue
            if try_lock(lock) and _is_still(lock_path, lock):
                embedded = False
                with contextlib.suppress(FleetNotFound):
                    embedded = read(path.name).embedded
                _remove_tree(path)
                removed.append(Stale(path.name, embedded))
            os.close(lock)
    return removed
