"""Connection files and engines as the JSON of ``shapes``. Plain functions of plain data."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfleet.results import EngineInfo
    from kernelfleet.server.shapes import EngineRow, FleetHead, FleetState, Owner, Problem
    from kernelfleet.wire.files.connection_file import FleetFile

MIB = 2**20

#: What a new notebook cell runs to use a fleet.
CONNECT = "%load_ext kernelfleet\n%fleet connect {name}"


def describe_fleet(
    fleet: FleetFile, state: FleetState, rows: Iterable[EngineRow], problem: Problem | None = None
) -> FleetHead:
    """What a connection file and the engines say about a fleet; never its keys."""
    rows = list(rows)
    return {
        "name": fleet.name,
        "state": state,
        "embedded": fleet.embedded,
        "owner": owner_of(fleet),
        "pid": fleet.pid,
        "host": fleet.host,
        "started": fleet.started,
        "tcp": fleet.tcp,
        "connection_file": str(fleet.path),
        "cluster": fleet.cluster,
        "counts": dict(Counter(row["state"] for row in rows)),
        "nodes": len({row["node"] for row in rows if row["node"]}),
        "connect": CONNECT.format(name=fleet.name),
        "problem": problem,
    }


def owner_of(fleet: FleetFile) -> Owner:
    """Who has started a fleet."""
    kind: Any = fleet.owner
    return {"kind": kind, "pid": fleet.pid, "host": fleet.host, "path": fleet.owner_path}


def describe_engine(engine: EngineInfo) -> EngineRow:
    """The row of an engine."""
    memory, cpu = engine.memory_bytes, engine.cpu_percent
    return {
        "id": engine.id,
        "state": engine.state,
        "pid": engine.pid,
        "node": engine.node or engine.host or None,
        "kernel_name": engine.kernel_name,
        "python": engine.python,
        "executable": engine.executable,
        "connection_file": engine.connection_file,
        "memory_bytes": None if memory is None else memory // MIB * MIB,
        "cpu_percent": None if cpu is None else round(cpu),
        "queue": engine.queue,
        "executed": engine.executed,
        "started": engine.started,
        "running": engine.running,
        "running_since": engine.running_since,
        "result_id": engine.result_id,
    }


def known_clusters() -> list[str]:
    """How the name of a cluster may begin, of those that this installation can use."""
    dask = importlib.util.find_spec("distributed") is not None
    in_a_job = "SLURM_JOB_ID" in os.environ
    return ["ssh:", *(["srun"] if in_a_job else []), *(["tls://", "tcp://"] if dask else [])]
