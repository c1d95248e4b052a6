"""The controller of engines that are processes of this machine.

::

    client --handle(header, buffers)--> Request --jobs--> Engine queues --> kernels
    client <--deliver(header, buffers)-- reply when the last target has ended

Clients, requests and results are dealt with in ``base.py``. Everything runs on one loop; nothing
here blocks or waits for a client.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from logging import Logger
from typing import Any

from kernelfleet.controller.base import Answer, BaseController, Call
from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.engines.in_flight import InFlight, Outcome
from kernelfleet.controller.engines.spans import Timeline
from kernelfleet.controller.engines.time_limits import TimeLimits
from kernelfleet.controller.history import Command, CommandHistory
from kernelfleet.controller.lifecycle.registry import EngineRegistry
from kernelfleet.controller.limits import Limits
from kernelfleet.controller.requests import CallError, OnOutput, Request
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.operations import Operation


class Controller(BaseController[Engine]):
    """Routes requests to the engines of a registry, and keeps their history."""

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
        super().__init__(name, calls, log, stop, limits, kernel_name)
        self.registry = registry
        registry.subscribe(self)
        self.clients = registry.comms.serve(self.clients)
        self.commands: dict[int, CommandHistory] = {}
        self.timeline = Timeline(self.limits.span_count)
        self._time_limits = TimeLimits(registry.engines.__getitem__, registry.interrupt, self.spawn)

    def engines_changed(self) -> None:
        """Tell every client which engines there are; a new one of an old id has no history."""
        for engine_id in self.commands.keys() - self.registry.engines.keys():
            del self.commands[engine_id]
        super().engines_changed()

    def forget_owner(self, client_id: str) -> None:
        """End the maps of a client that has left; its bridge may go on with another client."""
        self.registry.comms.leave(client_id)
        super().forget_owner(client_id)

    def known_engines(self) -> JsonDict:
        """Which engines there are, as clients are told (``KnownEngines``)."""
        engines = self.registry.engines.values()
        return {
            "ids": self.registry.ids,
            "dead": {str(engine_id): cause for engine_id, cause in self.registry.dead.items()},
            "total": len(engines),
            "pythons": {str(e.id): e.python for e in engines if e.python and e.registered},
        }

    # -- requests -------------------------------------------------------------------------------

    def find_engines(self, targets: list[int]) -> list[Engine]:
        """The registered engines of these ids.

        Raises:
            CallError: one is not there; nothing has been done then.
        """
        if self._stopping:
            raise CallError("FleetStopped", "the fleet was stopped")
        self.check_running()
        engines = []
        for engine_id in targets:
            engine = self.registry.find(engine_id)
            if engine is None:
                raise self.no_engine(engine_id, self.registry.ids, self.registry.dead)
            engines.append(engine)
        return engines

    def _admit(self, operation: Operation, targets: list[int]) -> Sequence[Engine]:
        engines = self.find_engines(targets)
        for engine in engines:
            reason = engine.unsupported(operation)
            if reason is not None:
                raise CallError("UnsupportedOperation", reason)
        self._check_queues(engines)
        return engines

    def _check_queues(self, engines: list[Engine]) -> None:
        limit = self.limits.queue_length
        if limit is None:
            return
        longest = max((len(engine.queue) for engine in engines), default=0)
        if longest + len(engines) <= limit:
            return  # nearly always: there is room whichever engines are named more than once
        for engine, count in Counter(engines).items():
            if (waiting := len(engine.queue)) + count > limit:
                raise CallError(
                    "QueueFull",
                    f"{waiting} requests wait for engine {engine.id}, and Limits.queue_length of "
                    f"this fleet is {limit}: wait for some of them, or start the fleet with more",
                )

    def _begin(
        self, request: Request, places: Sequence[Engine], client_id: str, header: JsonDict
    ) -> None:
        del client_id
        request.on_start = self._time_limits.of(header.get("limit"))
        if request.operation.name == "reset":
            for engine in places:
                for cleared in engine.queue.clear():
                    cleared.fail("QueueCleared", f"cleared by a reset of engine {engine.id}")
        for job, engine in zip(request.jobs(), places, strict=True):
            engine.put(job)

    def outputs_so_far(self, request: Request) -> list[tuple[int, list[Any]]]:
        """The engine id and the pages of output of each target that has begun."""
        runs = [engine.run for engine in self.registry.engines.values() if engine.run is not None]
        return [
            *request.outputs,
            *((run.job.engine_id, run.log.frames()) for run in runs if run.job.request is request),
        ]

    def _follow(self, client_id: str, n: int, request: Request, show: OnOutput) -> None:
        for engine_id, pages in self.outputs_so_far(request):
            self.clients.show(client_id, n, engine_id, pages)
        request.listen(client_id, show)

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

    async def _end_engines(self) -> None:
        await self.registry.stop()
