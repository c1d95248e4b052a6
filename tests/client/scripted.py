"""A client whose controller is the test: each request is noted, and answered as the test says.

No process, no socket: the transport answers at once, on the client's background thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kernelfleet import MultiEngineClient
from kernelfleet.client.controller_proxy import ControllerProxy
from kernelfleet.session import loop
from kernelfleet.session.transport import Transport
from kernelfleet.wire.objects.serialize import pack, unpack

JsonDict = dict[str, Any]
#: What is asked and its buffers in; the fields of the reply and its buffers out, or None: no reply.
Answer = Callable[[JsonDict, list[Any]], tuple[JsonDict, list[Any]] | None]


class ScriptedController:
    """A fleet of three engines, of which the last is dead.

    Attributes:
        asked: The header of each request, in order.
        sent: Its buffers.
        answers: What is answered, by operation; everything else is answered by ``None`` per target.
    """

    def __init__(self) -> None:
        self.asked: list[JsonDict] = []
        self.sent: list[list[Any]] = []
        self.answers: dict[str, Answer] = {}
        self.proxy: ControllerProxy

    def transport(self, _client_id: str, proxy: ControllerProxy) -> Transport:
        """Make the transport; called on the background thread."""
        self.proxy = proxy
        engines = {"ids": [0, 1], "dead": {"2": "killed by signal 9"}, "total": 3}
        # under both names: what a welcome calls the engines is not this test's business
        welcome = {"type": "welcome", "name": "scripted", "roster": engines, "engines": engines}
        proxy.receive(welcome, [])
        return _Transport(self)

    def answer(self, header: JsonDict, buffers: list[Any]) -> None:
        self.asked.append(header)
        self.sent.append(buffers)
        reply = self.answers.get(operation(header), _nothing)(header, buffers)
        if reply is not None:
            fields, frames = reply
            self.proxy.receive({"type": "reply", "to": header["n"], **fields}, frames)

    @property
    def operations(self) -> list[str]:
        """What was asked."""
        return [operation(header) for header in self.asked]


class _Transport:
    def __init__(self, controller: ScriptedController) -> None:
        self._controller = controller
        self._last_number = 0

    def number(self, head: JsonDict, _buffers: list[Any]) -> JsonDict:
        self._last_number += 1
        return {**head, "n": self._last_number}

    def send(self, numbered: JsonDict, buffers: list[Any]) -> None:
        self._controller.answer(numbered, buffers)

    def close(self) -> None: ...


def operation(header: JsonDict) -> str:
    """What a request asks for."""
    return str(header["operation"])


def _nothing(header: JsonDict, _buffers: list[Any]) -> tuple[JsonDict, list[Any]]:
    return per_target(header, [None] * len(header.get("targets", ())))


def per_target(header: JsonDict, values: list[Any]) -> tuple[JsonDict, list[Any]]:
    """A reply of one object per target."""
    packed = [pack(value) for value in values]
    results = [
        {"id": engine_id, "ok": True, "buffers": len(frames)}
        for engine_id, frames in zip(header["targets"], packed, strict=True)
    ]
    return {"results": results}, [frame for frames in packed for frame in frames]


def failing(ename: str) -> Answer:
    """Every target fails with this error."""

    def answer(header: JsonDict, _buffers: list[Any]) -> tuple[JsonDict, list[Any]]:
        error = {"ename": ename, "evalue": "text", "kind": "user", "traceback": []}
        failed = {"ok": False, "buffers": 0, "error": error}
        return {"results": [{"id": each, **failed} for each in header["targets"]]}, []

    return answer


def never(_header: JsonDict, _buffers: list[Any]) -> None:
    """No answer comes."""


def payloads(header: JsonDict, buffers: list[Any]) -> list[Any]:
    """The objects that a request carries, by payload."""
    objects, start = [], 0
    for size in header["payloads"]:
        objects.append(unpack(buffers[start : start + size]))
        start += size
    return objects


@contextmanager
def scripted_client() -> Iterator[tuple[MultiEngineClient, ScriptedController]]:
    """A client, and who answers it."""
    controller = ScriptedController()
    proxy = ControllerProxy(loop.acquire(), controller.transport, "a test")
    try:
        yield MultiEngineClient._of(proxy), controller
    finally:
        proxy.close()
