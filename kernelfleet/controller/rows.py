"""The row of an engine in ``engines()``, in the words that users see.

Memory, processor time and whether a process is stopped are read from the system here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelfleet.controller.processes.local import (
    is_stopped,
    resource_usage,
)
from kernelfleet.wire.messages import JsonDict

if TYPE_CHECKING:
    from kernelfleet.controller.engines.engine import Engine


def engine_row(engine: Engine) -> JsonDict:
    """The fields of an ``EngineInfo``."""
    incarnation, run = engine.incarnation, engine.run
    pid = incarnation.pid if incarnation else None
    row = {
        "id": engine.id,
        "state": _state(engine, pid),
        "pid": pid,
        "host": engine.info.get("host", ""),
        "kernel_name": engine.kernel_name or "kernelfleet",
        "python": engine.python,
        "executable": engine.info.get("executable"),
        "queue": len(engine.queue),
        "executed": engine.executed,
        **resource_usage(pid),
    }
    if incarnation is not None:
        row["connection_file"] = incarnation.connection_file
        row["transport"] = incarnation.transport
        row["started"] = incarnation.started
    if run is not None:
        row["running"] = run.job.label
        row["running_since"] = engine.run_since
        row["result_id"] = run.job.request.public_id
    return row


def _state(engine: Engine, pid: int | None) -> str:
    if is_stopped(pid):
        return "stopped"
    if not engine.registered:
        return engine.state.value
    return "busy" if engine.run else "idle"
