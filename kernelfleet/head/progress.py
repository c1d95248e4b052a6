"""How far a request is that several nodes have parts of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelfleet.controller.progress import description, has_begun
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.requests import ProgressRequest

if TYPE_CHECKING:
    from kernelfleet.controller.base import Answer
    from kernelfleet.head.head import Head


async def progress(head: Head, client: str, header: ProgressRequest) -> Answer:
    """How far a running request is, and (not if ``brief``) what its engines have put out so far."""
    del client
    result_id = header["result_id"]
    flags = {name: header[name] for name in ("brief", "where") if name in header}
    request = head.running.get(result_id)
    if request is None:
        return {"value": None, "describe": description(head, result_id)}, []
    describe = description(head, result_id)
    told = await head.ask_parts(result_id, "progress", **flags)
    values = [header["value"] for header, _ in told if header["value"] is not None]
    results = zip(request.targets, request.results, strict=True)
    here = {engine for engine, result in results if result is None}
    left = [engine for engine in request.targets if engine in here]
    done_there = sum(each["done"] for each in values)
    value: JsonDict = {
        "done": len(request.targets) - request.remaining + done_there,
        "total": len(request.targets),
        "left": [engine for each in values for engine in each["left"]] if values else left,
        "begun": any(each["begun"] for each in values) or has_begun(request),
        "behind": [other for each in values for other in each["behind"]],
    }
    value["left"].sort(key=request.targets.index)
    if flags.get("where"):
        value["unheeded"] = "\n".join(each["unheeded"] for each in values if each["unheeded"])
    if flags.get("where") or flags.get("brief"):
        return {"value": value, "describe": describe}, []
    pages: list[tuple[int, list[Any]]] = list(request.outputs)
    for answer, frames in told:
        at = 0
        for engine_id, count in (answer["value"] or {}).get("outputs", []):
            pages.append((engine_id, frames[at : at + count]))
            at += count
    value["outputs"] = [[engine_id, len(frames)] for engine_id, frames in pages]
    return {"value": value, "describe": describe}, [page for _, frames in pages for page in frames]
