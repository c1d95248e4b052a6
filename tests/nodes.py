"""Nodes of this machine, for tests: an ``ssh`` that runs its command here, and fleets over it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psutil

from tests.dask_cluster import PROGRAM as DASK_PROGRAM

#: The last word is the command. The address that ssh was reached by is where a node listens.
_SSH = """#!/bin/sh
for command; do host=$previous; previous=$command; done
if [ -e "{folder}/$host" ]; then cat "{folder}/$host" >&2; exit 255; fi
SSH_CONNECTION="127.0.0.1 50000 127.0.0.1 22" exec sh -c "$command"
"""


def make_ssh(folder: Path) -> Path:
    """Make an ``ssh`` in a folder; a host of which there is a file there fails with its text."""
    path = folder / "ssh"
    path.write_text(_SSH.format(folder=folder))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def path_with(folder: Path) -> str:
    """The ``PATH`` in which programs of a folder come first."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def node_processes(of: int | None = None) -> list[psutil.Process]:
    """The processes of nodes below a process, by default this one.

    Those on the Dask cluster that all tests share are nobody's own, and left out.
    """
    found = []
    for process in psutil.Process(of).children(recursive=True):
        try:
            parent = process.parent()
            shared = parent is not None and DASK_PROGRAM in parent.cmdline()
            if "kernelfleet.node" in process.cmdline() and not shared:
                found.append(process)
        except psutil.Error:
            continue
    return found
