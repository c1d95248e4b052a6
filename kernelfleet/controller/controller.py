"""The controller proper: clients on one side, engines on the other, requests in between.

::

    client --handle(header, buffers)--> Request --jobs--> Engine queues --> kernels
    client <--deliver(header, buffers)-- reply when the last target has ended

Headers are JSON-like dicts and buffers opaque frames; the wire (``door/server.py``) or the embedded
client's transport hands them over. A request that is malformed, or names an engine that is not
there, is answered with an error. Everything runs on one loop; nothing blocks or waits for a client.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import platform
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from logging import Logger
from typing import Any

from kernelfleet.controller.clients import Clients, Peer
from kernelfleet.controller.door.validation import (
    BadRequest,
    UnknownOperation,
    check,
    shown,
)
from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.engines.in_flight import InFlight, Outcome
from kernelfleet.controller.engines.spans import Timeline
from kernelfleet.controller.history import Command, CommandHistory, ResultStore
from kernelfleet.controller.lifecycle.registry import EngineRegistry
from kernelfleet.controller.limits import Limits
from kernelfleet.controller.requests import CallError, Request
from kernelfleet.controller.time_limits import TimeLimits
from kernelfleet.controller.told_imports import ToldImports
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.shared_memory import available, frame_bytes
from kernelfleet.wire.operations import Operation
from kernelfleet.wire.versions import HERE

#: The fields and the buffers of a reply.
Answer = tuple[JsonDict, list[Any]]
#: Answers a request that waits behind no work, given the controller, the client's id and the
#: request (the type that ``wire/operations.py`` has for it); None if it has arranged for the answer
#: itself.
Call = Callable[["Controller", str, Any], Answer | Awaitable[Answer | None] | None]


class Controller:
    """Routes requests; owns the clients, the running requests and the history."""

    def __init__(
        self,
        name: str,
        registry: EngineRegistry,
        calls: Mapping[str, Call],
        log: Logger,
        stop: Callable[[], None],
        limits: Limits | None = None,
        kernel_name: str | None = None,
    ) -> None:
        self.name = name
        self.registry = registry
        self._calls = calls
        registry.subscribe(self)
        self.limits = Limits() if limits is None else limits
        self.log = log
        self.instance_id = f"{os.getpid()}-{time.time_ns()}"
        self.started = time.time()
        #: The kernelspec that ``scale`` adds engines of; None is our own.
        self.kernel_name = kernel_name
        self.request_stop = stop
        self.clients = registry.comms.serve(Clients(self.limits))
        self.running: dict[str, Request] = {}
        self.results = ResultStore(self.limits.result_count, self.limits.result_bytes)
        self.commands: dict[int, CommandHistory] = {}
        self.timeline = Timeline(self.limits.span_count)
        #: What the door has refused, where there is one.
        self.count_refused: Callable[[], dict[str, int]] = dict
        self._imports = ToldImports()
        self._waiting_for: dict[str, list[tuple[str, int]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._time_limits = TimeLimits(registry.engines.__getitem__, registry.interrupt, self.spawn)

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
            "roster": self._known_engines(),
        }

    def disconnect(self, client_id: str) -> None:
        """A client has left: its submitted work goes on, and its results stay in the history.

        Its maps and executors end with it: it held what they had not handed out, and nobody can
        ask for what is under way.
        """
        self.clients.remove(client_id)
        self._imports.forget(client_id)
        self.results.release_all(client_id)
        for request in list(self.running.values()):
            if request.client == client_id and request.operation.ends_with_client:
                self.spawn(self.cancel(request.result_id, interrupt=True))

    def _known_engines(self) -> JsonDict:
        engines = self.registry.engines.values()
        return {
            "ids": self.registry.ids,
            "dead": {str(engine_id): cause for engine_id, cause in self.registry.dead.items()},
            "total": len(engines),
            "pythons": {str(e.id): e.python for e in engines if e.python and e.registered},
        }

    def engines_changed(self) -> None:
        """Tell every client which engines there are; a new one of an old id has no history."""
        for engine_id in self.commands.keys() - self.registry.engines.keys():
            del self.commands[engine_id]
        event = {"type": "event", "event": "roster", "roster": self._known_engines()}
        self.clients.tell_all(event)

    # -- requests -------------------------------------------------------------------------------

    def handle(self, client_id: str, header: JsonDict, buffers: list[Any]) -> None:
        """Take a numbered request of a client. Every request is answered; this never raises."""
        n = header["n"]
        try:
            operation = check(header, len(buffers))
            for result_id in header.get("release", ()):
                self.results.release(result_id, client_id)
            if operation.queued:
                self._imports.learn(client_id, header)
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

    def _refuse(self, client_id: str, n: int, error: CallError) -> None:
        refusal = {"ename": error.ename, "evalue": error.text}
        self.clients.deliver(client_id, {"type": "reply", "to": n, "refused": refusal}, [])

    def find_engines(self, targets: list[int]) -> list[Engine]:
        """The registered engines of these ids.

        Raises:
            CallError: one is not there; nothing has been done then.
        """
        if self._stopping:
            raise CallError("FleetStopped", "the fleet was stopped")
        engines = []
        for engine_id in targets:
            engine = self.registry.find(engine_id)
            if engine is None:
                death = self.registry.dead.get(engine_id)
                text = f"engine {engine_id} {death}; mec.restart({engine_id}) brings it back"
                if death is None:
                    text = f"no engine {engine_id}; there are {self.registry.ids}"
                raise CallError("InvalidEngineID", text)
            engines.append(engine)
        return engines

    def _submit(
        self, client_id: str, operation: Operation, header: JsonDict, buffers: list[Any]
    ) -> None:
        n = header["n"]
        engines = self.find_engines(header["targets"])
        for engine in engines:
            reason = engine.unsupported(operation)
            if reason is not None:
                raise CallError("UnsupportedOperation", reason)
        self._check_queues(engines)
        result_id = header["result_id"]
        if result_id in self.running:
            raise CallError("FleetError", f"the result id {shown(result_id)} is in use")
        request = Request(
            client=client_id,
            result_id=result_id,
            operation=operation,
            targets=header["targets"],
            content=header.get("content", {}),
            label=str(header.get("label", operation.name)),
            payloads=_cut(buffers, header.get("payloads", [])),
            assign=header.get("assign") or [0] * len(engines),
            on_done=lambda done: self._finished(client_id, n, header, done),
            on_output=self.clients.stream_to(client_id, n) if header.get("stream") else None,
            on_start=self._time_limits.of(header.get("limit")),
            imports=self._imports.named_by(client_id, header),
            call=str(header.get("call", result_id)),
        )
        self.running[result_id] = request
        if client_id in self.clients and header.get("keep", True):
            self.results.hold(result_id, client_id)
        if not engines:
            request.on_done(request)
        if request.operation.name == "reset":
            for engine in engines:
                for cleared in engine.queue.clear():
                    cleared.fail("QueueCleared", f"cleared by a reset of engine {engine.id}")
        for job, engine in zip(request.jobs(), engines, strict=True):
            engine.put(job)

    def _check_queues(self, engines: list[Engine]) -> None:
        limit = self.limits.queue_length
        if limit is None:
            return
        for engine, count in Counter(engines).items():
            if (waiting := len(engine.queue)) + count > limit:
                raise CallError(
                    "QueueFull",
                    f"{waiting} requests wait for engine {engine.id}, and Limits.queue_length of "
                    f"this fleet is {limit}: wait for some of them, or start the fleet with more",
                )

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

    def outputs_so_far(self, request: Request) -> list[tuple[int, list[Any]]]:
        """The engine id and the pages of output of each target that has begun."""
        runs = [engine.run for engine in self.registry.engines.values() if engine.run is not None]
        return [
            *request.outputs,
            *((run.job.engine_id, run.log.frames()) for run in runs if run.job.request is request),
        ]

    def _stream_also_to(self, client_id: str, n: int, request: Request) -> None:
        send = self.clients.stream_to(client_id, n)
        for engine_id, pages in self.outputs_so_far(request):
            self.clients.show(client_id, n, engine_id, pages)

        def also(engine_id: int, msg_type: str, content: Any) -> None:
            if msg_type != "input_request":  # whoever has sent the command is asked
                send(engine_id, msg_type, content)

        request.listen(client_id, also)

    # -- calls beside the queues ----------------------------------------------------------------

    def _call(self, client_id: str, operation: Operation, header: JsonDict) -> None:
        n = header["n"]
        value = self._calls[operation.name](self, client_id, header)
        if inspect.isawaitable(value):
            # A task of its own: a coroutine that is cancelled before it began would complain.
            self.spawn(self._answer_later(client_id, n, self.spawn(value)))
        elif value is not None:
            self.answer(client_id, n, *value)

    async def cancel(self, result_id: str, *, interrupt: bool) -> Answer:
        """Drop a request's waiting jobs, and interrupt its running ones if asked to."""
        request = self.running.get(result_id)
        dropped, working = [], []
        if request is not None:
            for engine in list(self.registry.engines.values()):
                for job in engine.queue.drop(lambda job: job.request is request):
                    dropped.append(engine.id)
                    job.fail("Cancelled", "cancelled before it started")
                if interrupt and engine.run is not None and engine.run.job.request is request:
                    working.append((engine, engine.run))
        await asyncio.gather(*(self.registry.interrupt(*each) for each in working))
        interrupted = [engine.id for engine, _ in working]
        return {"value": {"dropped": dropped, "interrupted": interrupted}}, []

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

    # -- engines --------------------------------------------------------------------------------

    def engine_finished(self, engine: Engine, run: InFlight, outcome: Outcome) -> None:
        """Keep a finished command for ``get_result``, and its times for ``timeline``."""
        result, request = outcome.result, run.job.request
        self.timeline.add(engine.id, request, engine.run_since, time.time(), result)
        if run.job.operation.name == "execute" and result.get("number") is not None:
            record = {"code": request.content.get("code", ""), "id": engine.id, **result}
            kept = Command(record, outcome.buffers, outcome.outputs)
            self.history(engine.id).put(result["number"], kept)
        elif run.job.operation.name == "reset" and result["ok"]:
            self.history(engine.id).clear()
            engine.properties.clear()

    def engine_restarted(self, engine: Engine) -> None:
        """An engine was started afresh: forget its history and its properties."""
        self.history(engine.id).clear()
        engine.properties.clear()

    def history(self, engine_id: int) -> CommandHistory:
        """The finished commands of an engine."""
        if engine_id not in self.commands:
            limits = self.limits
            self.commands[engine_id] = CommandHistory(limits.command_count, limits.command_bytes)
        return self.commands[engine_id]

    async def stop(self) -> None:
        """Notify the clients, and end the engines with everything they have started."""
        self._stopping = True
        for task in list(self._tasks):
            task.cancel()
        self.clients.tell_all({"type": "event", "event": "stopping"})
        await self.registry.stop()
        # A Fleet and its clients may be referred to for long, and refer to us.
        self.results.clear()


def _cut(buffers: list[Any], sizes: list[int]) -> list[list[Any]]:
    """The buffers as groups of the given sizes, which add up."""
    groups, start = [], 0
    for size in sizes:
        groups.append(buffers[start : start + size])
        start += size
    return groups
