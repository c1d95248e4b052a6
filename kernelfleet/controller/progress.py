"""How far requests are, and what engines have worked on and written to their logs.

Of one request: which engines are done, whether any has begun, what they have put out. Of all: when
which engine worked on what, and until when.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from kernelfleet.controller.engines.spans import MAX_LABEL
from kernelfleet.controller.engines.unheeded import why_unheeded
from kernelfleet.controller.logs import engine_log
from kernelfleet.wire.files import fleet_paths
from kernelfleet.wire.files.fleet_logs import last_lines
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.replies import SpanRow
from kernelfleet.wire.messages.requests import LogRequest, ProgressRequest, TimelineRequest

if TYPE_CHECKING:
    from kernelfleet.controller.base import BaseController
    from kernelfleet.controller.controller import Controller
    from kernelfleet.controller.engines.engine import Engine
    from kernelfleet.controller.requests import Request

Answer = tuple[JsonDict, list[Any]]


def progress(
    controller: Controller, client: str, header: ProgressRequest
) -> Answer | Awaitable[Answer]:
    """How far a running request is, and (not if ``brief``) what its engines have put out so far.

    ``describe`` says what it is, also of one that has ended and is kept.
    """
    request = controller.running.get(header["result_id"])
    describe = description(controller, header["result_id"])
    if request is None:
        return {"value": None, "describe": describe}, []
    total = len(request.targets)
    left = [i for i, result in zip(request.targets, request.results, strict=True) if result is None]
    engines = controller.registry.engines.values()
    runs = [e.run for e in engines if e.run is not None and e.run.job.request is request]
    begun = bool(runs) or has_begun(request)
    value = {
        "done": total - request.remaining,
        "total": total,
        "left": left,
        "begun": begun,
        "behind": _behind(controller, client, request, left),
    }
    if header.get("where"):
        working = [e for e in engines if e.run is not None and e.run.job.request is request]
        return _with_reasons(controller, working, {"value": value, "describe": describe})
    if header.get("brief"):
        return {"value": value, "describe": describe}, []
    pages = controller.outputs_so_far(request)
    value["outputs"] = [[engine_id, len(frames)] for engine_id, frames in pages]
    return {"value": value, "describe": describe}, [page for _, frames in pages for page in frames]


async def _with_reasons(controller: Controller, working: list[Engine], answer: JsonDict) -> Answer:
    """Adds which calls these engines are in."""
    is_world = controller.registry.is_world
    answer["value"]["unheeded"] = await why_unheeded(working, is_world=is_world)
    return answer, []


def description(controller: BaseController[Any], result_id: str) -> JsonDict | None:
    """What a request is, or was if it has ended and is kept; None if nobody knows it."""
    request, kept = controller.running.get(result_id), controller.results.get(result_id)
    if request is not None:
        return {"operation": request.operation.name, "targets": request.targets}
    return kept.header.get("describe") if kept is not None else None


def has_begun(request: Request) -> bool:
    """Whether any target has ended that has begun."""
    return any(each is not None and _has_run(each) for each in request.results)


def _behind(
    controller: Controller, client: str, request: Request, left: list[int]
) -> list[JsonDict]:
    """Where a request has not begun: what its engine runs instead, and whether for this client."""
    behind = []
    for engine_id in dict.fromkeys(left):
        engine = controller.registry.engines.get(engine_id)
        if engine is not None and engine.run is not None and engine.run.job.request is not request:
            other = engine.run.job
            mine = other.client == client
            behind.append({"engine": engine_id, "running": other.label, "mine": mine})
    return behind


def _has_run(result: JsonDict) -> bool:
    """Whether a target's command has begun at all: not if its queue was cleared before."""
    unrun = ("QueueCleared", "Cancelled")
    return bool(result["ok"]) or result.get("error", {}).get("ename") not in unrun


def timeline(controller: Controller, _client: str, header: TimelineRequest) -> Answer:
    """What engines have worked on, and what they work on now; busy engines need not be asked."""
    call = header.get("call")
    spans, mark, more = controller.timeline.since(header.get("since", 0), call)
    now = time.time()
    value: JsonDict = {
        "spans": [span._asdict() for span in spans],
        "running": _running(controller, call, now),
        "engines": sorted(controller.registry.engines),
        "mark": mark,
        "more": more,
        "now": now,
        "instance": controller.instance_id,
    }
    return {"value": value}, []


def _running(controller: Controller, call: str | None, now: float) -> list[SpanRow]:
    return [
        _row(engine, engine.run.job.request, now)
        for _, engine in sorted(controller.registry.engines.items())
        if engine.run is not None and call in (None, engine.run.job.request.call)
    ]


def _row(engine: Engine, request: Request, now: float) -> SpanRow:
    started = engine.run_since
    return {
        "number": 0,
        "engine": engine.id,
        "call": request.call,
        "what": request.label[:MAX_LABEL],
        "operation": request.operation.name,
        "started": started,
        "seconds": max(0.0, now - started),
        "waited": max(0.0, started - request.asked),
        "outcome": "running",
        "error": "",
    }


def log(controller: Controller, _client: str, header: LogRequest) -> Answer:
    """The last lines of the log of an engine, a dead one too."""
    engine_id = header["engine"]
    if engine_id not in controller.registry.engines:
        ids, dead = controller.registry.ids, controller.registry.dead
        raise controller.no_engine(engine_id, ids, dead)
    try:
        path = engine_log(fleet_paths.log_dir(controller.name), engine_id)
        text = last_lines(path, header["lines"])
    except OSError:  # it has none
        text = ""
    return {"value": text}, []
