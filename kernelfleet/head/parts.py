"""One request on its way to several nodes: a part for each, and the answers put together.

Each node gets one message, whatever number of its engines is asked, and each group of data once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kernelfleet.controller.requests import CallError, Request
from kernelfleet.head.following import Followers
from kernelfleet.head.node import Node
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.outputs import read_pages

#: Fields of a request's header that nodes get as they came.
_PASSED_ON = ("operation", "label", "call", "stream", "limit", "imports")


class Part(NamedTuple):
    """What one node gets of a request."""

    header: JsonDict
    frames: list[Any]


def part_of(request: Request, header: JsonDict, indices: Sequence[int]) -> Part:
    """The part of a request for the targets at these positions. Pure.

    Args:
        request: The request.
        header: As the client sent it.
        indices: The positions of the node's engines among the targets.
    """
    part = {key: header[key] for key in _PASSED_ON if key in header}
    groups = list(dict.fromkeys(request.assign[index] for index in indices))
    payloads = [request.payloads[group] for group in groups] if request.payloads else []
    part.update(
        content=request.content,
        result_id=request.result_id,
        owner=request.client,
        keep=False,
        targets=[request.targets[index] for index in indices],
        payloads=[len(payload) for payload in payloads],
    )
    if payloads:
        part["assign"] = [groups.index(request.assign[index]) for index in indices]
    return Part(part, [frame for payload in payloads for frame in payload])


def split_frames(results: Sequence[JsonDict]) -> list[tuple[int, int, int]]:
    """Where the frames of each result begin, where its outputs do, and where they end. Pure."""
    edges: list[tuple[int, int, int]] = []
    at = 0
    for result in results:
        buffers, outputs = result.get("buffers", 0), result.get("outputs", 0)
        edges.append((at, at + buffers, at + buffers + outputs))
        at += buffers + outputs
    return edges


class SplitRequest:
    """A running request, the nodes that have a part of it, and who follows its output.

    Args:
        request: The request, whose results are resolved as nodes answer.
        on_refused: Called if no node has taken its part.
    """

    def __init__(self, request: Request, on_refused: Callable[[CallError], None]) -> None:
        self.request, self._on_refused = request, on_refused
        #: The nodes that have not answered yet.
        self.open: dict[Node, list[int]] = {}
        self.followers = Followers()
        self._refused: list[tuple[list[int], CallError]] = []
        self._answered = False

    def send(self, parts: dict[Node, list[int]], header: JsonDict) -> None:
        """Send each node its part."""
        self.open = dict(parts)
        imports, client = self.request.imports, self.request.client
        for node, indices in parts.items():
            part = part_of(self.request, header, indices)
            # A request that needs no imports, as a reset, leaves what the node was told before.
            told = node.owners.setdefault(client, None)
            if imports is not None and told != imports.name:
                part.header["imports_text"] = imports.text
                node.owners[client] = imports.name
            self._send_part(node, indices, part)

    def _send_part(self, node: Node, indices: list[int], part: Part) -> None:
        def done(reply: JsonDict | None, frames: list[Any]) -> None:
            self.open.pop(node, None)
            self.followers.left(node)
            if reply is None:
                self._answered = True
                self._fail(indices, "EngineDied", node.loss)
            elif "refused" in reply:
                if self.request.client in node.owners:  # it may not have taken the imports, but
                    node.owners[self.request.client] = None  # hears when the client leaves
                self._refused.append((indices, _error(reply["refused"])))
            else:
                self._answered = True
                self._resolve(indices, reply["results"], frames)
            if not self.open:
                self._deal_with_refusals()

        node.send(part.header, part.frames, done, lambda *event: self._take(node, *event))

    def _resolve(self, indices: list[int], results: list[JsonDict], frames: list[Any]) -> None:
        edges = split_frames(results)
        for index, result, (start, outputs, end) in zip(indices, results, edges, strict=True):
            self.request.resolve(index, result, frames[start:outputs], frames[outputs:end])

    def _fail(self, indices: list[int], ename: str, evalue: str) -> None:
        for index in indices:
            engine_id = self.request.targets[index]
            # Whether it had begun is not known: the node may have worked on while it was cut off.
            error = {"ename": ename, "evalue": evalue, "kind": "engine", "ran": True}
            self.request.resolve(index, {"id": engine_id, "ok": False, "error": error}, [])

    def _deal_with_refusals(self) -> None:
        """If nobody has taken it, the request is refused; else the engines of some have failed."""
        if not self._refused:
            return
        if not self._answered:
            self._on_refused(self._refused[0][1])
            return
        for indices, error in self._refused:
            died = error.ename == "InvalidEngineID"  # it was there when the request was split
            self._fail(indices, "EngineDied" if died else error.ename, error.text)

    def _take(self, node: Node, header: JsonDict, pages: list[Any]) -> None:
        """Output of the request has come from a node, or what a follower has missed."""
        if "follower" in header:
            self.followers.take(node, header, pages)
            return
        if self.request.on_output is None and not self.followers:
            return
        for published in read_pages(pages):
            if self.request.on_output is not None:
                self.request.on_output(header["engine"], published.msg_type, published.content)
            self.followers.show(node, header["engine"], *published)


def _error(refused: JsonDict) -> CallError:
    return CallError(str(refused["ename"]), str(refused["evalue"]))
