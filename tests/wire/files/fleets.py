"""What the tests of a fleet's files have in common."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kernelfleet.wire.files.connection_file import FleetFile


def info(name: str, **fields: object) -> FleetFile:
    base = FleetFile(name=name, pid=os.getpid(), host="here", started=1.0, key="secret")
    for key, value in fields.items():
        setattr(base, key, value)
    return base


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)
