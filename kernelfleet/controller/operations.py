"""The operations that never wait behind work: each a small function on the controller.

A function that ``answers`` an operation has its name (``wire/operations.py``). It takes the
controller, the client's id and the header, whose fields have been checked, and returns the reply's
fields and buffers, a coroutine of them, or None when it has arranged for the reply itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from kernelfleet.controller.comms import calls as comms
from kernelfleet.controller.engines.interrupting import over
from kernelfleet.controller.engines.state import EngineState
from kernelfleet.controller.engines.unheeded import why_unheeded
from kernelfleet.controller.lifecycle.worlds import REFUSED
from kernelfleet.controller.progress import log, progress, timeline
from kernelfleet.controller.requests import CallError
from kernelfleet.controller.rows import engine_row
from kernelfleet.errors.text import format_ids
from kernelfleet.errors.tree import StartError
from kernelfleet.wire.messages import JsonDict, requests
from kernelfleet.wire.messages.replies import TargetResult
from kernelfleet.wire.operations import OPERATIONS, message_type

if TYPE_CHECKING:
    from kernelfleet.controller.base import Answer, Call
    from kernelfleet.controller.controller import Controller
    from kernelfleet.controller.engines.engine import Engine

CallT = TypeVar("CallT", bound="Call")

#: How long a busy engine may take to show a variable.
PEEK_SECONDS = 5.0
#: How long engines may take to tell the names of their variables.
NAMES_SECONDS = 1.0
PEEK_LIMIT_BYTES = 64 * 1024 * 1024
#: How long an idle engine may take to complete or inspect.
ASK_IDLE_SECONDS = 2.0

MAX_ENGINES = 4096


#: By the name of its operation, what answers it.
CALLS: dict[str, Call] = {}


def answers(call: CallT) -> CallT:
    """Have a function answer the operation of its name."""
    operation = OPERATIONS[call.__name__]
    assert not operation.queued
    CALLS[operation.name] = call
    return call


for each in (log, progress, timeline, comms.watch_comms, comms.join_comm, comms.comm_states):
    answers(each)


def _each(engines: list[Engine], value: Callable[[Engine], Any]) -> Answer:
    """One value per engine, in the form that results of queued operations have."""
    results = [{"id": e.id, "ok": True, "buffers": 0, "value": value(e)} for e in engines]
    return {"results": results}, []


@answers
def ping(controller: Controller, _client: str, _header: requests.RequestFields) -> Answer:
    """Facts about the controller."""
    refused = controller.count_refused()
    facts = {"name": controller.name, "started": controller.started, "refused": refused}
    return {"value": facts}, []


@answers
def engines(controller: Controller, _client: str, _header: requests.RequestFields) -> Answer:
    """A row per engine, dead ones too."""
    rows = [engine_row(engine) for _, engine in sorted(controller.registry.engines.items())]
    return {"value": rows}, []


@answers
def queue_status(controller: Controller, _client: str, header: requests.TargetsRequest) -> Answer:
    """What runs and what waits, as labels, and the ids under which each can be asked for."""

    def ids(engine: Engine) -> JsonDict:
        running = engine.queue.running
        return {
            "queue": [job.request.public_id for job in engine.queue.waiting],
            "pending": None if running is None else running.request.public_id,
        }

    found = controller.find_engines(header["targets"])
    return _each(found, lambda e: [e.id, e.queue.status(), ids(e)])


@answers
def clear_queue(controller: Controller, _client: str, header: requests.TargetsRequest) -> Answer:
    """Drop what waits, whoever queued it; what runs goes on."""

    def clear(engine: Engine) -> None:
        for job in engine.queue.clear():
            job.fail("QueueCleared", f"the queue of engine {engine.id} was cleared")

    return _each(controller.find_engines(header["targets"]), clear)


@answers
def get_result(controller: Controller, _client: str, header: requests.GetResultRequest) -> Answer:
    """Finished commands from the history."""
    results, frames = [], []
    for engine in controller.find_engines(header["targets"]):
        try:
            kept = controller.history(engine.id).get(header.get("number"))
        except LookupError as error:
            problem = {"ename": "IndexError", "evalue": str(error), "kind": "user", "traceback": []}
            results.append({"id": engine.id, "ok": False, "buffers": 0, "error": problem})
            continue
        counts = {"buffers": len(kept.buffers), "outputs": len(kept.outputs)}
        results.append({"id": engine.id, "ok": True, "value": kept.record, **counts})
        frames += [*kept.buffers, *kept.outputs]
    return {"results": results}, frames


@answers
def cancel(
    controller: Controller, _client: str, header: requests.CancelRequest
) -> Awaitable[Answer]:
    """Drop a request's waiting jobs, and interrupt its running ones if asked to."""
    return controller.cancel(header["result_id"], interrupt=header.get("interrupt", False))


@answers
async def interrupt(
    controller: Controller, _client: str, header: requests.TargetsRequest
) -> Answer:
    """Interrupt what the engines run, and answer when it is over: its error clears the queue."""
    found = controller.find_engines(header["targets"])
    working = [(each, each.run) for each in set(found) if each.run is not None]
    await asyncio.gather(*(controller.registry.interrupt(*each) for each in working))
    await over(working)
    left = [engine for engine, run in working if engine.run is run]
    answer, frames = _each(found, lambda _: None)
    if left:
        is_world = controller.registry.is_world
        answer["unheeded"] = await why_unheeded(left, is_world=is_world)
    return answer, frames


@answers
async def restart(controller: Controller, client: str, header: requests.TargetsRequest) -> Answer:
    """Start engines afresh under their ids; dead ones too."""
    found = []
    for engine_id in header["targets"]:
        engine = controller.registry.engines.get(engine_id)
        if engine is None or (
            engine.restarting is None and engine.state not in (EngineState.UP, EngineState.DEAD)
        ):
            raise CallError("InvalidEngineID", f"no engine {engine_id} that could be restarted")
        if engine not in found:
            found.append(engine)
    if controller.registry.is_world and len(found) < len(controller.registry.engines):
        raise CallError("UnsupportedOperation", REFUSED["restart"])
    ids = format_ids(engine.id for engine in found)
    controller.log.info("restart of engines %s requested by client %s", ids, client[:8])
    try:
        await controller.registry.restart(found)
    except StartError as error:
        controller.log.error("restart failed: %s", error)
        raise CallError("StartError", str(error)) from error
    by_id = {engine.id: engine for engine in found}
    return _each([by_id[engine_id] for engine_id in header["targets"]], lambda _: None)


@answers
async def kill(controller: Controller, client: str, header: requests.TargetsRequest) -> Answer:
    """End engines for good."""
    found = controller.find_engines(header["targets"])
    if controller.registry.is_world:
        raise CallError("UnsupportedOperation", REFUSED["kill"])
    answer = _each(found, lambda _: None)
    ids = format_ids(engine.id for engine in found)
    controller.log.info("engines %s are killed, as requested by client %s", ids, client[:8])
    await controller.registry.remove(list(dict.fromkeys(found)))
    for engine in found:
        controller.commands.pop(engine.id, None)
    return answer


def checked_size(n: object) -> int:
    """How many engines a fleet is to have.

    Raises:
        CallError: it is no such number.
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 0 < n <= MAX_ENGINES:
        raise CallError("ValueError", f"a fleet has 1 to {MAX_ENGINES} engines, not {n!r}")
    return n


@answers
async def scale(controller: Controller, client: str, header: requests.ScaleRequest) -> Answer:
    """Add engines, or end those of the highest ids when their work is done."""
    n = checked_size(header["engines"])
    if (size := controller.registry.fixed_size) not in (None, n):
        text = REFUSED["scale" if controller.registry.is_world else "scale of ranks"]
        raise CallError("UnsupportedOperation", text.format(size=size))
    before, log = len(controller.registry.ids), controller.log
    log.info("scaling from %d to %d engines requested by client %s", before, n, client[:8])
    try:
        await controller.registry.scale(n, controller.kernel_name)
    except StartError as error:
        log.error("scaling failed: %s", error)
        raise CallError("StartError", str(error)) from error
    log.info("the fleet has %d engines now", len(controller.registry.ids))
    return {"value": controller.registry.ids}, []


@answers
def attach(controller: Controller, client: str, header: JsonDict) -> None:
    """Send an earlier result, now or when it is there; with ``stream`` its outputs as well."""
    controller.reattach(client, header["n"], header["of"], stream=header.get("stream", False))


@answers
def locate(controller: Controller, _client: str, header: requests.LocateRequest) -> Answer:
    """The engine whose process tag (``wire/process_tags``) this is, and its pid if known."""
    engine = controller.registry.find_by_tag(header["mark"])
    if engine is None or engine.incarnation is None:
        return {"value": {"engine": None, "pid": None}}, []
    return {"value": {"engine": engine.id, "pid": engine.incarnation.pid}}, []


@answers
async def peek(controller: Controller, _client: str, header: requests.PeekRequest) -> Answer:
    """Read variables at once, from busy engines too."""
    found = controller.find_engines(header["targets"])
    for engine in found:
        if not engine.native:
            text = f"engine {engine.id} runs the kernel {engine.kernel_name!r}, which cannot peek"
            raise CallError("UnsupportedOperation", text)
    request = {"names": header["names"], "limit_bytes": PEEK_LIMIT_BYTES}
    answers = await asyncio.gather(*(_peek_one(engine, request) for engine in found))
    return {"results": [result for result, _ in answers]}, [f for _, b in answers for f in b]


@answers
async def names(controller: Controller, _client: str, header: requests.TargetsRequest) -> Answer:
    """The names of the user's variables, at once and from busy engines too.

    For whoever completes what is being typed: an engine that does not answer soon is left out.
    """
    found = [engine for engine in controller.find_engines(header["targets"]) if engine.native]
    asked = [engine.ask("control", message_type("peek"), {"keys": True}) for engine in found]
    if asked:
        await asyncio.wait(asked, timeout=NAMES_SECONDS)
    told = []
    for future in asked:
        if not future.done():
            future.cancel()
        elif not future.cancelled() and future.exception() is None:
            told.append(future.result().content.get("keys"))
    return {"value": [each for each in told if isinstance(each, list)]}, []


async def _peek_one(engine: Engine, request: JsonDict) -> Answer:
    def failed(ename: str, evalue: str) -> Answer:
        error = {"ename": ename, "evalue": evalue, "kind": "engine", "traceback": []}
        return {"id": engine.id, "ok": False, "buffers": 0, "error": error}, []

    try:
        reply = await asyncio.wait_for(
            engine.ask("control", message_type("peek"), request), PEEK_SECONDS
        )
    except TimeoutError:
        return failed(
            "TimeoutError",
            f"engine {engine.id} did not answer in {PEEK_SECONDS:g} s (C code holds its GIL?)",
        )
    except ConnectionError as error:
        return failed("EngineDied", str(error))
    content = reply.content
    result = {"id": engine.id, "ok": content.get("status") == "ok", "buffers": len(reply.buffers)}
    if not result["ok"]:
        result["error"] = {k: content.get(k) for k in ("ename", "evalue", "traceback", "kind")}
    return result, reply.buffers


@answers
async def complete(
    controller: Controller, _client: str, header: requests.CompleteRequest
) -> Answer:
    """Completions by an idle engine, as in ``complete_reply``; None from a busy one."""
    content = {"code": header["code"], "cursor_pos": header["cursor_pos"]}
    return await _ask_idle(controller, header["engine"], "complete_request", content)


@answers
async def inspect(controller: Controller, _client: str, header: requests.InspectRequest) -> Answer:
    """What an idle engine knows of the name at the cursor, as in ``inspect_reply``; or None."""
    content: JsonDict = {"detail_level": header.get("detail_level", 0)}
    content.update(code=header["code"], cursor_pos=header["cursor_pos"])
    return await _ask_idle(controller, header["engine"], "inspect_request", content)


async def _ask_idle(
    controller: Controller, engine_id: int, msg_type: str, content: JsonDict
) -> Answer:
    (engine,) = controller.find_engines([engine_id])
    if engine.run is not None:
        return {"value": None}, []
    try:
        reply = await asyncio.wait_for(engine.ask("shell", msg_type, content), ASK_IDLE_SECONDS)
    except (TimeoutError, ConnectionError):
        return {"value": None}, []
    return {"value": reply.content}, []


@answers
def input_reply(controller: Controller, _client: str, header: requests.InputReplyRequest) -> Answer:
    """What the user typed, for the ``input()`` that a running request waits in."""
    (engine,) = controller.find_engines([header["engine"]])
    asked = engine.run is not None and engine.run.job.request.result_id == header["result_id"]
    if asked:
        engine.tell("stdin", "input_reply", {"value": header["value"]})
    return {"value": asked}, []


@answers
def set_properties(
    controller: Controller, _client: str, header: requests.SetPropertiesRequest
) -> Answer:
    """Label engines with JSON values."""
    values = header["values"]
    return _each(controller.find_engines(header["targets"]), lambda e: e.properties.update(values))


@answers
def get_properties(
    controller: Controller, _client: str, header: requests.GetPropertiesRequest
) -> Answer:
    """The labels of engines; a missing key is an error of that engine."""
    keys = header.get("keys")
    results: list[TargetResult] = []
    for engine in controller.find_engines(header["targets"]):
        missing = [key for key in keys or [] if key not in engine.properties]
        result: TargetResult = {"id": engine.id, "ok": not missing, "buffers": 0}
        if missing:
            text = f"engine {engine.id} has no property {missing[0]!r}"
            result["error"] = {"ename": "KeyError", "evalue": text, "kind": "user", "traceback": []}
        else:
            chosen = engine.properties if keys is None else {k: engine.properties[k] for k in keys}
            result["value"] = dict(chosen)
        results.append(result)
    return {"results": results}, []


@answers
def has_properties(
    controller: Controller, _client: str, header: requests.PropertyKeysRequest
) -> Answer:
    """Which labels engines have."""
    found = controller.find_engines(header["targets"])
    return _each(found, lambda e: [key in e.properties for key in header["keys"]])


@answers
def del_properties(
    controller: Controller, _client: str, header: requests.PropertyKeysRequest
) -> Answer:
    """Remove labels; one that is missing fails that engine's call and removes nothing there."""
    asked: requests.GetPropertiesRequest = {"targets": header["targets"], "keys": header["keys"]}
    answer, _ = get_properties(controller, _client, asked)
    for result, engine in zip(
        answer["results"], controller.find_engines(header["targets"]), strict=True
    ):
        if result["ok"]:
            result["value"] = None
            for key in header["keys"]:
                engine.properties.pop(key, None)
    return answer, []


@answers
def clear_properties(
    controller: Controller, _client: str, header: requests.TargetsRequest
) -> Answer:
    """Remove all labels."""
    return _each(controller.find_engines(header["targets"]), lambda e: e.properties.clear())


@answers
def shutdown(controller: Controller, client: str, _header: requests.RequestFields) -> Answer:
    """End the fleet; the reply goes out first."""
    controller.log.info("stop requested by client %s", client[:8])
    controller.request_stop()
    return {"value": None}, []
