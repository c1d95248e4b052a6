"""What a head answers beside the queues: most of it its nodes do, each for its own engines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from kernelfleet.controller import operations as controllers
from kernelfleet.controller.lifecycle.worlds import REFUSED
from kernelfleet.controller.requests import CallError
from kernelfleet.errors.text import format_ids
from kernelfleet.errors.tree import StartError
from kernelfleet.head.node import Node
from kernelfleet.head.parts import split_frames
from kernelfleet.head.placement import grouped
from kernelfleet.head.progress import progress
from kernelfleet.head.timeline import timeline
from kernelfleet.wire.messages import JsonDict, requests
from kernelfleet.wire.messages.comms import CLOSE, CommMessage
from kernelfleet.wire.operations import OPERATIONS

if TYPE_CHECKING:
    from kernelfleet.controller.base import Answer, Call
    from kernelfleet.head.head import Head

#: Answered by the nodes of the targets, each for its own.
SPLIT = (
    "queue_status", "clear_queue", "get_result", "interrupt", "kill", "peek", "set_properties",
    "get_properties", "has_properties", "del_properties", "clear_properties",
)  # fmt: skip
#: About one engine: answered by its node.
FORWARDED = ("complete", "inspect", "input_reply")
#: Fields of a message that are not the operation's.
_OF_THE_MESSAGE = ("type", "n", "ack", "free", "operation", "release", "result_id")

#: By the name of its operation, what answers it.
CALLS: dict[str, Call] = {
    # these know nothing of engines
    **{name: controllers.CALLS[name] for name in ("ping", "attach", "cancel", "shutdown")},
    "progress": progress,
    "timeline": timeline,
}


def answers(call: Call) -> Call:
    """Have a function answer the operation of its name."""
    operation = OPERATIONS[call.__name__]
    assert not operation.queued
    CALLS[operation.name] = call
    return call


def _fields(header: Any, *without: str) -> JsonDict:
    """The fields of a request as it is passed on."""
    return {key: each for key, each in header.items() if key not in (*_OF_THE_MESSAGE, *without)}


def _raise_if_refused(reply: JsonDict) -> None:
    if "refused" in reply:
        raise CallError(str(reply["refused"]["ename"]), str(reply["refused"]["evalue"]))


async def split(head: Head, _client: str, header: requests.TargetsRequest) -> Answer:
    """Have each node answer for its own engines, and put the answers together."""
    message: Any = header
    operation, targets = message["operation"], message["targets"]
    groups = grouped(head.find_nodes(targets))
    fields = _fields(message, "targets")

    async def ask(node: Node, indices: Sequence[int]) -> Answer:
        some = [targets[index] for index in indices]
        try:
            return await node.ask(operation, **fields, targets=some)
        except ConnectionError as error:
            failed = {"ename": "EngineDied", "evalue": str(error), "kind": "engine"}
            results = [{"id": i, "ok": False, "buffers": 0, "error": failed} for i in some]
            return {"results": results}, []

    answered = await asyncio.gather(*(ask(*each) for each in groups.items()))
    results: list[JsonDict] = [{}] * len(targets)
    frames: list[list[Any]] = [[]] * len(targets)
    for indices, (reply, buffers) in zip(groups.values(), answered, strict=True):
        _raise_if_refused(reply)
        edges = split_frames(reply["results"])
        for index, result, (start, _, end) in zip(indices, reply["results"], edges, strict=True):
            results[index], frames[index] = result, buffers[start:end]
    unheeded = [reply["unheeded"] for reply, _ in answered if reply.get("unheeded")]
    more = {"unheeded": "\n".join(unheeded)} if unheeded else {}
    return {"results": results, **more}, [frame for group in frames for frame in group]


async def forward(head: Head, _client: str, header: Any) -> Answer:
    """Have the node of an engine answer; as from a busy engine if the node is lost."""
    (node,) = head.find_nodes([header["engine"]])
    fields = _fields(header)
    if header["operation"] == "input_reply":
        fields["result_id"] = header["result_id"]
    try:
        reply, buffers = await node.ask(header["operation"], **fields)
    except ConnectionError:
        return {"value": None}, []
    _raise_if_refused(reply)
    return {"value": reply["value"]}, buffers


CALLS.update(dict.fromkeys(SPLIT, split), **dict.fromkeys(FORWARDED, forward))


@answers
async def engines(head: Head, _client: str, _header: requests.RequestFields) -> Answer:
    """A row per engine, with its node; those of lost nodes are dead."""
    placed = head.registry.engines
    told = [
        {**row, "node": node.name}
        for node, rows in await head.ask_all(_rows)
        for row in rows
        if row["id"] in placed and placed[row["id"]].node is node
    ]
    lost = [
        {"id": engine_id, "state": "dead", "node": each.node.name, "kernel_name": each.kernel}
        for engine_id, each in placed.items()
        if each.lost
    ]
    return {"value": sorted([*told, *lost], key=lambda row: row["id"])}, []


async def _rows(node: Node) -> tuple[Node, list[JsonDict]]:
    reply, _ = await node.ask("engines")
    return node, reply["value"]


@answers
async def log(head: Head, _client: str, header: requests.LogRequest) -> Answer:
    """The end of an engine's log, which is on its node."""
    placed = head.registry.engines.get(header["engine"])
    if placed is None:
        raise head.no_engine(header["engine"], head.registry.ids, head.registry.dead)
    try:
        reply, _ = await placed.node.ask("log", **_fields(header))
    except ConnectionError as error:
        raise CallError("EngineError", f"the log of engine {header['engine']}: {error}") from None
    _raise_if_refused(reply)
    return {"value": reply["value"]}, []


@answers
async def kill(head: Head, client: str, header: requests.TargetsRequest) -> Answer:
    """End engines for good."""
    if head.registry.worlds is not None:
        raise CallError("UnsupportedOperation", REFUSED["kill"])
    answer = await split(head, client, header)
    head.registry.forget(dict.fromkeys(header["targets"]))
    return answer


@answers
async def restart(head: Head, client: str, header: requests.TargetsRequest) -> Answer:
    """Start engines afresh under their ids; those of lost nodes on other ones."""
    targets, registry = header["targets"], head.registry
    known = {*registry.ids, *registry.dead}
    for engine_id in targets:
        if engine_id not in known:
            raise CallError("InvalidEngineID", f"no engine {engine_id} that could be restarted")
    if registry.worlds is not None and set(targets) < set(registry.engines):
        raise CallError("UnsupportedOperation", REFUSED["restart"])
    head.log.info("restart of engines %s requested by client %s", format_ids(targets), client[:8])
    await _starting(head, "restart", lambda: registry.restart(targets))
    results = [{"id": each, "ok": True, "buffers": 0, "value": None} for each in targets]
    return {"results": results}, []


@answers
async def scale(head: Head, client: str, header: requests.ScaleRequest) -> Answer:
    """Add engines, on new nodes where there are some, or end those of the highest ids."""
    n, registry = controllers.checked_size(header["engines"]), head.registry
    if registry.ranks is not None and registry.ranks.size != n:
        text = REFUSED["scale of ranks"].format(size=registry.ranks.size)
        raise CallError("UnsupportedOperation", text)
    if registry.worlds is not None and len(registry.engines) != n:
        raise CallError("UnsupportedOperation", REFUSED["scale"])
    before = len(registry.ids)
    head.log.info("scaling from %d to %d engines requested by client %s", before, n, client[:8])
    await _starting(head, "scaling", lambda: registry.scale(n, head.kernel_name))
    return {"value": registry.ids}, []


async def _starting(head: Head, what: str, start: Callable[[], Awaitable[None]]) -> None:
    try:
        await start()
    except StartError as error:
        head.log.error("%s failed: %s", what, error)
        raise CallError("StartError", str(error)) from error


@answers
async def locate(head: Head, _client: str, header: requests.LocateRequest) -> Answer:
    """The engine that has a process tag."""

    async def ask(node: Node) -> JsonDict:
        reply, _ = await node.ask("locate", mark=header["mark"])
        value: JsonDict = reply["value"]
        return value

    for value in await head.ask_all(ask):
        if value["engine"] is not None:
            return {"value": value}, []
    return {"value": {"engine": None, "pid": None}}, []


@answers
def watch_comms(head: Head, client: str, header: requests.WatchCommsRequest) -> Answer:
    """Tell a bridge, through this client, of the comms that its clients' code opens."""
    bridge = header["bridge"]
    head.comms.watch(client, bridge)
    known: dict[Node, list[Any]] = {}
    for engine_id, comm_id in header.get("known", []):
        node = head.registry.find(engine_id)
        if node is None:
            gone = CommMessage(CLOSE, comm_id, {"reason": "its engine is gone"})
            head.comms.router.tell([bridge], engine_id, gone)
        else:
            known.setdefault(node, []).append([engine_id, comm_id])
    head.comms.introduce(client, known)
    for node, comms in known.items():
        node.tell("watch_comms", bridge=bridge, owner=client, known=comms)
    return {"value": None}, []


@answers
async def join_comm(head: Head, client: str, header: requests.JoinCommRequest) -> Answer:
    """What opens a comm, and all it names, for a bridge that has not got it."""
    nodes = head.find_nodes([header["engine"]])
    head.comms.introduce(client, nodes)
    answer, buffers = await forward(head, client, header)
    head.comms.note(nodes[0], header["bridge"], answer["value"] or [])
    head.comms.router.flush_for(client)  # what it names may have been told before
    return {"value": answer["value"] or []}, buffers


@answers
async def comm_states(head: Head, client: str, header: requests.CommStatesRequest) -> Answer:
    """The comms that a bridge has, or some and what they name, as they are now."""
    answers = await head.ask_all(lambda node: node.ask("comm_states", **_fields(header)))
    head.comms.router.flush_for(client)
    listed = [each for reply, _ in answers for each in reply.get("value", [])]
    return {"value": listed}, [frame for _, buffers in answers for frame in buffers]


@answers
async def names(head: Head, _client: str, header: requests.TargetsRequest) -> Answer:
    """Names of variables, of engines that answer soon."""
    groups = grouped(head.find_nodes(header["targets"]))

    async def ask(node: Node, indices: Sequence[int]) -> list[Any]:
        try:
            targets = [header["targets"][index] for index in indices]
            reply, _ = await node.ask("names", targets=targets)
        except ConnectionError:
            return []
        return list(reply.get("value", []))

    told = await asyncio.gather(*(ask(*each) for each in groups.items()))
    return {"value": [name for some in told for name in some]}, []
