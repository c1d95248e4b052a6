"""Connection files and engines as the JSON of ``shapes``. Plain functions of plain data."""

from __future__ import annotations

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
        "cluster": None,
        "counts": dict(Counter(row["state"] for row in rows)),
        "nodes": len({row["node"] for row in rows if row["node"]}),
        "connect": CONNECT.format(name=fleet.name),
        "problem": problem,
    }


def owner_of(fleet: FleetFile) -> Owner:
    """Who has started a fleet."""
    kind: Any = fleet.owner
    return {"kind": kind, "pid": fleet.pid, "host": fleet.host, "path": fleet.owner_path}


def describe_engine(engine: EngineInfo, cpu_percent: float | None) -> EngineRow:
    """The row of an engine."""
    memory = engine.memory_bytes
    return {
        "id": engine.id,
        "state": engine.state,
        "pid": engine.pid,
        "node": engine.host or None,
        "kernel_name": engine.kernel_name,
        "python": engine.python,
        "executable": engine.executable,
        "connection_file": engine.connection_file,
        "memory_bytes": None if memory is None else memory // MIB * MIB,
        "cpu_percent": None if cpu_percent is None else round(cpu_percent),
        "queue": engine.queue,
        "executed": engine.executed,
        "started": engine.started,
        "running": engine.running,
        "running_since": engine.running_since,
        "result_id": engine.result_id,
    }


class CpuMeter:
    """How busy engines are, from the processor time that they have used at two moments."""

    #: A shorter interval would count the ticks of the system's clock.
    SECONDS = 1.0

    def __init__(self) -> None:
        #: By id and pid: when, and how many seconds had been used by then.
        self._before: dict[tuple[int, int | None], tuple[float, float]] = {}
        self._percent: dict[tuple[int, int | None], float] = {}

    def measure(self, engines: Iterable[EngineInfo], now: float) -> dict[int, float | None]:
        """The use of each engine in percent of one processor; None while it is not known."""
        used: dict[int, float | None] = {}
        before, percent = {}, {}
        for engine in engines:
            key, spent = (engine.id, engine.pid), engine.cpu_seconds
            if spent is None:
                used[engine.id] = None
                continue
            then = self._before.get(key)
            if then is not None and now - then[0] >= self.SECONDS:
                percent[key] = 100 * max(0.0, spent - then[1]) / (now - then[0])
                before[key] = now, spent
            else:
                before[key] = (now, spent) if then is None else then
                if key in self._percent:
                    percent[key] = self._percent[key]
            used[engine.id] = percent.get(key)
        self._before, self._percent = before, percent
        return used
