"""What every controller does, wherever its engines are: clients, requests, results.

::

    client --handle(header, buffers)--> Request --_begin--> engines, or nodes that have engines
    client <--deliver(header, buffers)-- reply when the last target has ended

``controller.py`` is the controller whose engines are processes of its own machine; the head of a
fleet on many machines (``head/head.py``) is the other one.

Headers are JSON-like dicts and buffers opaque frames; the wire (``door/server.py``) or the embedded
client's transport hands them over. A request that names an engine that is not there, or is
malformed, is answered with an error and changes nothing.

Everything runs on one loop; nothing here blocks or waits for a client.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from logging import Logger
from typing import Any, Generic, TypeVar

from kernelfleet.controller.clients import Clients, Peer
from kernelfleet.controller.door.validation import (
    BadRequest,
    UnknownOperation,
    check,
    shown,
)
from kernelfleet.controller.history import ResultStore
from kernelfleet.controller.limits import Limits
from kernelfleet.controller.requests import CallError, OnOutput, Request
from kernelfleet.controller.told_imports import ToldImports
from kernelfleet.wire.buffers.frames import frame_bytes
from kernelfleet.wire.buffers.shared_memory import available
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.operations import Operation
from kernelfleet.wire.versions import HERE

#: The fields and the buffers of a reply.
Answer = tuple[JsonDict, list[Any]]
#: Answers a request that waits behind no work, given the controller, the client's id and the
#: request (the type that ``wire/operations.py`` has for it); None if it has arranged for the answer
#: itself.
Call = Callable[[Any, str, Any], Answer | Awaitable[Answer | None] | None]

#: Where a target of a request is: an engine, or the node that has it.
PlaceT = TypeVar("PlaceT")


class BaseController(ABC, Generic[PlaceT]):
    """Routes requests; owns the clients, the running requests and the results."""

    #: Whether engines run on the machine of the controller, and so see the same files.
    one_machine = True

    def __init__(
        self,
        name: str,
        calls: Mapping[str, Call],
        log: Logger,
        stop: Callable[[], None],
        limits: Limits | None = None,
        kernel_name: str | None = None,
    ) -> None:
        self.name = name
        self._calls = calls
        self.limits = Limits() if limits is None else limits
        self.log = log
        self.instance_id = f"{os.getpid()}-{time.time_ns()}"
        self.started = time.time()
        #: The kernelspec that ``scale`` adds engines of; None is our own.
        self.kernel_name = kernel_name
        self.request_stop = stop
        self.clients = Clients(self.limits)
        self.running: dict[str, Request] = {}
        self.results = ResultStore(self.limits.result_count, self.limits.result_bytes)
        #: What the door has refused, where there is one.
        self.count_refused: Callable[[], dict[str, int]] = dict
        self._imports = ToldImports()
        self._waiting_for: dict[str, list[tuple[str, int]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False

    # -- what depends on where the engines are --------------------------------------------------

    @abstractmethod
    def known_engines(self) -> JsonDict:
        """Which engines there are, as clients are told (``KnownEngines``)."""

    @abstractmethod
    def _admit(self, operation: Operation, targets: list[int]) -> Sequence[PlaceT]:
        """Where each target is.

        Raises:
            CallError: one is not there, cannot do this, or has too much to do.
        """

    @abstractmethod
    def _begin(
        self, request: Request, places: Sequence[PlaceT], client_id: str, header: JsonDict
    ) -> None:
        """Queue a request that has been admitted."""

    @abstractmethod
    def _follow(self, client_id: str, n: int, request: Request, show: OnOutput) -> None:
        """Show a client what a running request has put out, and then whatever comes."""

    @abstractmethod
    async def cancel(self, result_id: str, *, interrupt: bool) -> Answer:
        """Drop a request's waiting jobs, and interrupt its running ones if asked to."""

    @abstractmethod
    async def _end_engines(self) -> None:
        """End the engines with everything they have started."""

    # -- clients --------------------------------------------------------------------------------

    def connect(self, client_id: str, peer: Peer) -> JsonDict:
        """A client has connected, perhaps again; returns the welcome that it is sent."""
        self.clients.add(client_id, peer)
        return {
            "type": "welcome",
            "version": HERE.protocol,
            "kernelfleet": HERE.kernelfleet,
            "instance": self.instance_id,
            "shares_memory": available(),
            "message_bytes": self.limits.message_bytes,
            "name": self.name,
            "pid": os.getpid(),
            "host": platform.node(),
            "shares_files": available() and self.one_machine,
            "roster": self.known_engines(),
        }

    def disconnect(self, client_id: str) -> None:
        """A client has left: its submitted work goes on, and its results stay in the history."""
        self.clients.remove(client_id)
        self.results.release_all(client_id)
        self.forget_owner(client_id)

    def forget_owner(self, client_id: str) -> None:
        """End the maps and executors of a client that has left.

        It held what they had not handed out, and nobody can ask for what is under way.
        """
        self._imports.forget(client_id)
        for request in list(self.running.values()):
            if request.client == client_id and request.operation.ends_with_client:
                self.spawn(self.cancel(request.result_id, interrupt=True))

    def engines_changed(self) -> None:
        """Tell every client which engines there are."""
        event = {"type": "event", "event": "roster", "roster": self.known_engines()}
        self.clients.tell_all(event)

    def handle(self, client_id: str, header: JsonDict, buffers: list[Any]) -> None:
        """Take a numbered request of a client. Every request is answered; this never raises."""
        n = header["n"]
        try:
            operation = check(header, len(buffers))
            for result_id in header.get("release", ()):
                self.results.release(result_id, client_id)
            if operation.queued:
                self._imports.learn(header.get("owner", client_id), header)
                self._submit(client_id, operation, header, buffers)
            else:
                self._call(client_id, operation, header)
        except CallError as error:
            self._refuse(client_id, n, error)
        except UnknownOperation as error:
            self._refuse(client_id, n, CallError("UnsupportedOperation", str(error)))
        except BadRequest as error:
            self.log.warning("client %s sent a malformed request: %s", client_id, error)
            self._refuse(client_id, n, CallError("FleetError", f"malformed request: {error}"))
        except Exception as error:
            self.log.exception("a request of client %s failed", client_id)
            text = f"the controller failed to take the request: {type(error).__name__}: {error}"
            self._refuse(client_id, n, CallError("ControllerError", text))

    def check_running(self) -> None:
        """Refuse what comes while the fleet ends.

        Raises:
            CallError: it does.
        """
        if self._stopping:
            raise CallError("FleetStopped", "the fleet was stopped")

    @staticmethod
    def no_engine(engine_id: int, ids: list[int], dead: Mapping[int, str]) -> CallError:
        """The error about an engine that takes no work."""
        death = dead.get(engine_id)
        text = f"engine {engine_id} {death}; mec.restart({engine_id}) brings it back"
        if death is None:
            text = f"no engine {engine_id}; there are {ids}"
        return CallError("InvalidEngineID", text)

    def _refuse(self, client_id: str, n: int, error: CallError) -> None:
        refusal = {"ename": error.ename, "evalue": error.text}
        self.clients.deliver(client_id, {"type": "reply", "to": n, "refused": refusal}, [])

    def _submit(
        self, client_id: str, operation: Operation, header: JsonDict, buffers: list[Any]
    ) -> None:
        n, targets, result_id = header["n"], header["targets"], header["result_id"]
        places = self._admit(operation, targets)
        if result_id in self.running:
            raise CallError("FleetError", f"the result id {shown(result_id)} is in use")
        owner = header.get("owner", client_id)
        request = Request(
            client=owner,
            result_id=result_id,
            operation=operation,
            targets=targets,
            content=header.get("content", {}),
            label=str(header.get("label", operation.name)),
            payloads=_cut(buffers, header.get("payloads", [])),
            assign=header.get("assign") or [0] * len(targets),
            on_done=lambda done: self._finished(client_id, n, header, done),
            on_output=self.clients.stream_to(client_id, n) if header.get("stream") else None,
            imports=self._imports.named_by(owner, header),
            call=str(header.get("call", result_id)),
        )
        self.running[result_id] = request
        if client_id in self.clients and header.get("keep", True):
            self.results.hold(result_id, client_id)
        if targets:
            self._begin(request, places, client_id, header)
        else:
            request.on_done(request)

    def _finished(self, client_id: str, n: int, header: JsonDict, request: Request) -> None:
        self.running.pop(request.result_id, None)
        reply = {
            "type": "reply",
            "to": n,
            "result_id": request.result_id,
            "results": request.results,
            "describe": {key: header.get(key) for key in ("operation", "targets", "decode")},
        }
        frames = request.payload_frames
        size = sum(map(frame_bytes, frames))
        for waiting_client, waiting_n in self._waiting_for.pop(request.result_id, []):
            self.clients.answer(waiting_client, {**reply, "to": waiting_n}, frames)
        if not self.clients.has_room(client_id):
            reply, frames, size = self.clients.dropped(reply), [], 0
        if header.get("keep", True):
            self.results.put(request.result_id, reply, frames, size)
        self.clients.deliver(client_id, reply, frames)

    def _refuse_running(self, client_id: str, n: int, request: Request, error: CallError) -> None:
        """Refuse a request that turned out to be impossible everywhere; nothing was done."""
        self.running.pop(request.result_id, None)
        self.results.release(request.result_id, client_id)
        self._refuse(client_id, n, error)
        for waiting_client, waiting_n in self._waiting_for.pop(request.result_id, []):
            self._refuse(waiting_client, waiting_n, error)

    def reattach(self, client_id: str, n: int, result_id: str, *, stream: bool) -> None:
        """Send the result of an earlier request, at once or when it has ended.

        With ``stream`` the outputs of what still runs are sent as well: what it has shown so far,
        and then what it shows from now on.

        Raises:
            CallError: nobody knows the id.
        """
        kept = self.results.get(result_id)
        if kept is None and result_id not in self.running:
            raise CallError(
                "InvalidDeferredID",
                f"no result {result_id!r}: it was flushed, dropped, or never was",
            )
        if kept is None and self.running[result_id].public_id is None:
            raise CallError(
                "InvalidDeferredID",
                f"{result_id!r} is part of a map or a task of an executor, whose results only "
                "the client gets that has asked for them",
            )
        self.results.hold(result_id, client_id)
        if kept is not None:
            self.clients.answer(client_id, {**kept.header, "to": n}, kept.buffers)
            return
        if stream:
            self._stream_also_to(client_id, n, self.running[result_id])
        self._waiting_for.setdefault(result_id, []).append((client_id, n))

    def _stream_also_to(self, client_id: str, n: int, request: Request) -> None:
        send = self.clients.stream_to(client_id, n)

        def also(engine_id: int, msg_type: str, content: Any) -> None:
            if msg_type != "input_request":  # whoever has sent the command is asked
                send(engine_id, msg_type, content)

        self._follow(client_id, n, request, also)

    # -- calls beside the queues ----------------------------------------------------------------

    def _call(self, client_id: str, operation: Operation, header: JsonDict) -> None:
        n = header["n"]
        call = self._calls.get(operation.name)
        if call is None:
            raise UnknownOperation(f"a controller of this kind does not do {operation.name}")
        value = call(self, client_id, header)
        if inspect.isawaitable(value):
            # A task of its own: a coroutine that is cancelled before it began would complain.
            self.spawn(self._answer_later(client_id, n, self.spawn(value)))
        elif value is not None:
            self.answer(client_id, n, *value)

    def answer(self, client_id: str, n: int, value: JsonDict, buffers: list[Any]) -> None:
        """Reply to a call."""
        self.clients.answer(client_id, {"type": "reply", "to": n, **value}, buffers)

    async def _answer_later(self, client_id: str, n: int, value: Any) -> None:
        try:
            answer = await value
        except CallError as error:
            self._refuse(client_id, n, error)
        except Exception as error:
            self.log.exception("a call of client %s failed", client_id)
            self._refuse(client_id, n, CallError(type(error).__name__, str(error)))
        else:
            if answer is not None:
                self.answer(client_id, n, *answer)

    def spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        """Run a coroutine in the background; it is cancelled when the controller stops."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """Notify the clients, and end the engines with everything they have started."""
        self._stopping = True
        for task in list(self._tasks):
            task.cancel()
        self.clients.tell_all({"type": "event", "event": "stopping"})
        await self._end_engines()
        # A Fleet and its clients may be referred to for long, and refer to us.
        self.results.clear()


def _cut(buffers: list[Any], sizes: list[int]) -> list[list[Any]]:
    """The buffers as groups of the given sizes, which add up."""
    groups, start = [], 0
    for size in sizes:
        groups.append(buffers[start : start + size])
        start += size
    return groups
