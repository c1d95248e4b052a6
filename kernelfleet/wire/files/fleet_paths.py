"""The name of a fleet, the directories that belong to it, and whether it runs.

A fleet owns ``<jupyter runtime>/kernelfleet/<name>/`` (mode 0700) with

- ``lock``: locked (``flock``) for as long as the controller lives. The lock says whether the fleet
  runs; a process id could have been given to another process meanwhile;
- ``fleet.json`` (mode 0600): the connection file, see ``connection_file``;
- the sockets, or a file ``sockets_dir`` that names a directory with a shorter path for them.

The logs of a fleet are in ``log_dir``, because somebody may want to read them after a crash.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir, jupyter_runtime_dir

from kernelfleet.wire.files.private_files import (
    open_private,
    private_dir,
    telling_what_to_set,
    try_lock,
)

DEFAULT_NAME = "default"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def fleets_dir() -> Path:
    """The directory that holds a directory per fleet."""
    return Path(jupyter_runtime_dir()) / "kernelfleet"


def fleet_dir(name: str) -> Path:
    """The runtime directory of the fleet called ``name``."""
    return fleets_dir() / name


def log_dir(name: str) -> Path:
    """The directory of the logs of a fleet's controller and engines."""
    return Path(jupyter_data_dir()) / "kernelfleet" / "logs" / name


def make_log_dir(name: str) -> Path:
    """Make the directory for the logs of a fleet. It is private: logs hold what users print.

    Raises:
        PermissionError: It is a symbolic link, or belongs to another user.
    """
    path = log_dir(name)
    with telling_what_to_set(path):
        for each in (path.parent.parent, path.parent):
            private_dir(each)
        return private_dir(path)


def check_name(name: str) -> str:
    """Return ``name`` if it can be the name of a fleet.

    Raises:
        ValueError: It cannot.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a fleet: use up to 64 letters, digits, '-', '_' and '.', "
            "a letter or digit first"
        )
    return name


def is_running(name: str) -> bool:
    """Tell whether a controller holds the lock of this fleet."""
    try:
        lock = open_private(fleet_dir(name) / "lock", os.O_RDWR, above=2)
    except OSError:
        return False
    try:
        return not try_lock(lock)
    finally:
        os.close(lock)
