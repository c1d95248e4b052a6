"""The sides, by name. A side is imported where it runs, and nowhere else."""

from __future__ import annotations

import importlib

from benchmarks.peers.base import Peer

#: In the order of the table's columns; the first is the one the others are compared with.
SIDES = ("kernelfleet", "ipyparallel", "dask", "processes", "loky", "joblib", "raw", "floor")

_MODULES = {
    "kernelfleet": "fleet",
    "daemon": "daemon",
    "tcp": "tcp",
    "ipyparallel": "parallel",
    "dask": "distributed",
    "processes": "processes",
    "loky": "loky",
    "joblib": "joblib",
    "raw": "raw",
    "floor": "floor",
}


def make(name: str) -> Peer:
    """The side with this name; importing what it needs is part of its cost."""
    module = importlib.import_module(f"benchmarks.peers.{_MODULES[name]}")
    peer: Peer = module.make()
    return peer
