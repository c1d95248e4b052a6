"""A client's request and the jobs it becomes: one per target, each in its engine's queue.

Pure data; who queues, sends and answers is in ``engine.py`` and ``controller.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kernelfleet.controller.told_imports import Imports
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.operations import Operation

#: Told the engine's id, and type and packed content of what it has published.
OnOutput = Callable[[int, str, Any], None]

#: A kernel drops what it has queued when another frontend's cell fails; not as often as this.
MAX_ABORTED = 100


class CallError(Exception):
    """A request is refused; the caller gets an error of this name and text."""

    def __init__(self, ename: str, text: str) -> None:
        super().__init__(ename, text)
        self.ename, self.text = ename, text


class EncodingKey(NamedTuple):
    """What a request's message to an engine depends on: targets that agree in it share one."""

    #: None for kernelfleet's own kernel.
    language: str | None
    shares_memory: bool
    #: Which group of frames it gets.
    payload: int
    #: How often the same engine was named before: it must not see one message id twice.
    turn: int
    #: Whether the message includes what the client can import.
    tells_imports: bool


@dataclass(eq=False, slots=True)
class Request:
    """One operation on some engines, as a client sent it.

    ``payloads`` are groups of opaque frames; ``assign`` says which group each target gets, so a
    broadcast holds its data once and a scatter holds a part per target.
    """

    client: str
    result_id: str
    operation: Operation
    targets: list[int]
    content: JsonDict
    label: str
    payloads: list[list[Any]]
    assign: list[int]
    on_done: Callable[[Request], None]
    on_output: OnOutput | None = None
    #: Receivers of outputs by client id, once there are several; None stands for the client that
    #: has sent the request.
    listeners: dict[str | None, OnOutput] = field(default_factory=dict)
    #: Told the engine's id when a job is sent to its kernel.
    on_start: Callable[[int], object] = lambda _: None
    imports: Imports | None = None
    #: What all batches of a map share; else the id of the request itself.
    call: str = ""
    #: When it came, in seconds since the epoch.
    asked: float = field(default_factory=time.time)
    results: list[JsonDict | None] = field(default_factory=list)
    #: Per target the frames of its data, then the pages of its outputs.
    buffers: list[list[Any]] = field(default_factory=list)
    remaining: int = 0
    #: Messages that are encoded already: id and signed frames.
    encoded: dict[EncodingKey, tuple[str, list[Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.results = [None] * len(self.targets)
        self.buffers = [[] for _ in self.targets]
        self.remaining = len(self.targets)

    def content_for_engine(self, *, tell_imports: bool) -> JsonDict:
        """The content, with what the client can import: its name, or all of it."""
        if self.imports is None:
            return self.content
        content = {**self.content, "imports": self.imports.name}
        if tell_imports:
            content["imports_text"] = self.imports.text
        return content

    def jobs(self) -> list[Job]:
        """One job per target, in target order."""
        seen: dict[int, int] = {}
        jobs = []
        for index, engine_id in enumerate(self.targets):
            turn = seen.get(engine_id, 0)
            seen[engine_id] = turn + 1
            jobs.append(Job(self, index, engine_id, turn))
        return jobs

    def resolve(
        self, index: int, result: JsonDict, buffers: Sequence[Any], outputs: Sequence[Any] = ()
    ) -> None:
        """Record how one target ended; the last one reports the request as done."""
        if self.results[index] is not None:
            return
        self.results[index] = {**result, "buffers": len(buffers), "outputs": len(outputs)}
        self.buffers[index] = [*buffers, *outputs]
        self.remaining -= 1
        if self.remaining == 0:
            self.on_done(self)

    @property
    def public_id(self) -> str | None:
        """The id under which others can ask for it; None for what ends with its client."""
        return None if self.operation.ends_with_client else self.result_id

    def listen(self, client: str, listener: OnOutput) -> None:
        """Send outputs to ``listener`` as well, from now on.

        Each client has one listener, beside that of the client that has sent the request. A client
        that stops following and begins again therefore gets nothing twice.
        """
        if not self.listeners and self.on_output is not None:
            self.listeners[None] = self.on_output
        self.listeners[client] = listener
        self.on_output = self._tell_all

    def _tell_all(self, engine_id: int, msg_type: str, content: Any) -> None:
        for listener in list(self.listeners.values()):
            listener(engine_id, msg_type, content)

    @property
    def outputs(self) -> list[tuple[int, list[Any]]]:
        """Engine id and pages of each target that has ended."""
        return [
            (result["id"], frames[result["buffers"] :])
            for result, frames in zip(self.results, self.buffers, strict=True)
            if result is not None
        ]

    @property
    def payload_frames(self) -> list[Any]:
        """All result frames, in target order: of each its data, then its outputs."""
        return [frame for group in self.buffers for frame in group]


@dataclass(eq=False, slots=True)
class Job:
    """A request's work for one target."""

    request: Request
    index: int
    engine_id: int
    #: How often the same engine was named before in this request.
    turn: int
    #: How often its kernel has dropped it unrun.
    aborted: int = 0

    @property
    def client(self) -> str:
        """Who asked."""
        return self.request.client

    @property
    def operation(self) -> Operation:
        """What is asked, for the queue's rules."""
        return self.request.operation

    @property
    def label(self) -> str:
        """What ``queue_status`` shows."""
        return self.request.label

    @property
    def payload(self) -> list[Any]:
        """The frames for this target."""
        payloads = self.request.payloads
        return payloads[self.request.assign[self.index]] if payloads else []

    def is_worth_another_try(self) -> bool:
        """Count that the kernel dropped the job unrun; False after too many times."""
        self.aborted += 1
        return self.aborted <= MAX_ABORTED

    def resolve(
        self, result: JsonDict, buffers: Sequence[Any], outputs: Sequence[Any] = ()
    ) -> None:
        """Record the outcome with the request; ``outputs`` are pages."""
        self.request.resolve(self.index, {"id": self.engine_id, **result}, buffers, outputs)

    def fail(self, ename: str, evalue: str, outputs: Sequence[Any] = (), **details: Any) -> None:
        """Record an error that did not come from the user's code on the engine."""
        error = {"ename": ename, "evalue": evalue, "kind": "engine", **details}
        self.resolve({"ok": False, "error": error}, [], outputs)
