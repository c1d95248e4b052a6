"""Handing out items to engines and collecting what becomes of them: under map and executor.

::

    Source.take() -> Batch --'map' request--> engine's queue --> run_batch
          ^                                                          |
          +-- given back: dead engine, taken back, over budget       v
    on_outcome(item, outcome) <------- events <------- replies of the controller

One thread runs a ``Dispatcher``; replies come in as events from the loop thread, and nothing else
is shared. What to send where is decided in ``schedule.py``.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any

from kernelfleet.client.batches import Batch, Item, Printed, Source
from kernelfleet.client.connection import Connection, Reply, raise_if_refused
from kernelfleet.client.decode import engine_error
from kernelfleet.client.schedule import BUDGET_SECONDS, Assignment, BatchSizer
from kernelfleet.errors import (
    EngineDied,
    FleetError,
    InvalidEngineID,
    SerializationError,
    restore_error,
)
from kernelfleet.wire.serialize import EngineFunction, pack, pack_nested, total_bytes, unpack

JsonDict = dict[str, Any]

_RUN_BATCH = EngineFunction("kernelfleet.engine.mapping", "run_batch")


OnOutcome = Callable[[Item, Any, Exception | None, Sequence[str]], None]


class Dispatcher:
    """See the module's docstring. ``on_outcome(item, value, error, traceback)`` gets each item."""

    def __init__(
        self,
        connection: Connection,
        engines: Sequence[int],
        source: Source,
        on_outcome: OnOutcome,
        *,
        function: Any,
        star: bool,
        label: str,
        verb: str = "map",
        chunksize: int | None = None,
        budget: float | None = BUDGET_SECONDS,
        stop_on_error: bool = True,
        steal: bool = True,
    ) -> None:
        self.printed = Printed()
        self.assignment: Assignment[Batch] = Assignment(engines)
        self._connection, self._source, self._on_outcome = connection, source, on_outcome
        self._function_frames = pack_nested(function)
        self._function_id = connection.next_result_id()
        self._star, self._label, self._verb = star, label, verb
        self._budget, self._stop_on_error, self._steal = budget, stop_on_error, steal
        self._sizer = BatchSizer(max(1, len(engines)), chunksize)
        self._knows_function: set[int] = set()
        self._returned: deque[Item] = deque()
        self._events: queue.SimpleQueue[tuple[Batch, Future[Reply]] | None] = queue.SimpleQueue()
        self._dropping = False
        self._last_death: EngineDied | None = None

    # -- the thread's side ----------------------------------------------------------------------

    def fill(self) -> None:
        """Send batches while there are items and engines with room for them."""
        while not self._dropping:
            batch = self._next_batch()
            if batch is None:
                break
            self._send(batch)
        if self._steal and not self._dropping:
            self._take_back()

    @property
    def busy(self) -> bool:
        """Whether anything is under way or waits to be sent again."""
        return bool(self._returned or self.assignment.in_flight())

    @property
    def items_in_flight(self) -> int:
        """How many items are under way."""
        return sum(len(batch.items) for batch in self.assignment.in_flight())

    def step(self, timeout: float | None = None) -> bool:
        """Wait for one event and deal with it; False if ``timeout`` seconds passed without one."""
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return False
        if event is not None:
            self._take(*event)
        return True

    def wake(self) -> None:
        """Make ``step`` return; from any thread."""
        self._events.put(None)

    def drop_the_rest(self) -> None:
        """Hand out nothing more: what has not started is dropped, what runs goes on."""
        self._dropping = True
        self._returned.clear()
        for _, batch in self.assignment.waiting():
            self._cancel(batch, interrupt=False)

    def cancel_all(self, *, interrupt: bool) -> None:
        """Drop what waits; with ``interrupt`` stop what runs, too."""
        self._dropping = True
        self._returned.clear()
        for batch in self.assignment.in_flight():
            self._cancel(batch, interrupt=interrupt)

    def cancel_timed_out(self, now: float) -> float | None:
        """Interrupt tasks whose time is up; returns how long until the next one's is."""
        soonest = None
        for batch in self.assignment.in_flight():
            limit = batch.items[0].timeout
            if limit is None or batch.timed_out:
                continue
            if not self.assignment.is_running(batch.engine, batch):
                continue
            if batch.started is None:
                batch.started = now
            left = batch.started + limit - now
            if left <= 0:
                batch.timed_out = True
                self._cancel(batch, interrupt=True)
            else:
                soonest = left if soonest is None else min(soonest, left)
        return soonest

    # -- sending --------------------------------------------------------------------------------

    def _next_batch(self) -> Batch | None:
        engine = self.assignment.next_engine()
        if engine is None:
            return None
        if self._returned:
            return self._batch_of_returned()
        size = self._sizer.size(engine, self._source.remaining)
        items = self._source.take(size)
        if not items:
            return None
        first = items[0]
        if first.engines is not None:
            chosen = self.assignment.next_engine(first.engines)
            if chosen is None:
                self._returned.extend(items)
                return None
            engine = chosen
        if len(items) > 1 and any(item.alone or item.engines is not None for item in items):
            self._returned.extend(items[1:])
            items = items[:1]
        return self._batch(engine, items)

    def _batch_of_returned(self) -> Batch | None:
        """The first returned item that some engine with room may run, with what may share."""
        for index, item in enumerate(self._returned):
            engine = self.assignment.next_engine(item.engines)
            if engine is None:
                continue
            del self._returned[index]
            items = [item]
            if not item.alone and item.engines is None:
                size = self._sizer.size(engine, len(self._returned) + (self._source.remaining or 0))
                while self._returned and len(items) < size:
                    follower = self._returned[0]
                    if follower.alone or follower.engines is not None:
                        break
                    items.append(self._returned.popleft())
            return self._batch(engine, items)
        return None

    def _batch(self, engine: int, items: list[Item]) -> Batch:
        with_function = engine not in self._knows_function
        self._knows_function.add(engine)
        return Batch(engine, items, self._connection.next_result_id(), 0, with_function)

    def _send(self, batch: Batch) -> None:
        function = self._function_frames if batch.with_function else None
        payloads = [item.payload for item in batch.items]
        try:
            options = (self._star, self._budget, self._stop_on_error)
            arguments = (self._function_id, function, payloads, *options)
            frames = pack((_RUN_BATCH, arguments, {}), shared=self._connection.shares_memory)
        except SerializationError as error:
            self._refuse_items(batch, error)
            return
        batch.size_bytes = total_bytes(frames)
        head = {
            "type": "request",
            "verb": self._verb,
            "targets": [batch.engine],
            "result_id": batch.result_id,
            "payloads": [len(frames)],
            "label": f"{self._label} x{len(batch.items)}",
        }
        try:
            future = self._connection.request(head, list(frames))
        except FleetError as error:
            self._fail(batch.items, error)
            return
        self.assignment.add(batch.engine, batch)
        if self.assignment.is_running(batch.engine, batch):
            batch.started = time.monotonic()
        future.add_done_callback(lambda done: self._events.put((batch, done)))

    def _refuse_items(self, batch: Batch, error: SerializationError) -> None:
        """An item cannot be pickled: fail those that cannot, send the others."""
        if batch.with_function:
            self._knows_function.discard(batch.engine)
        if len(batch.items) == 1:
            self._fail(batch.items, error)
            return
        for item in batch.items:
            try:
                pack(item.payload)
            except SerializationError as own:
                self._fail([item], own)
            else:
                self._returned.append(item)

    def _take_back(self) -> None:
        """Take waiting batches back for engines that idle."""
        idle = len(self.assignment.idle())
        for engine, batch in self.assignment.waiting():
            if idle <= 0:
                return
            if batch.taken_back:
                idle -= 1
            elif self._could_run_elsewhere(batch, engine):
                batch.taken_back = True
                self._cancel(batch, interrupt=False)
                idle -= 1

    def _could_run_elsewhere(self, batch: Batch, engine: int) -> bool:
        idle = set(self.assignment.idle())
        return any(item.engines is None or item.engines & idle for item in batch.items) and (
            engine not in idle
        )

    def _cancel(self, batch: Batch, *, interrupt: bool) -> None:
        try:
            self._connection.request(
                {
                    "type": "request", "verb": "cancel",
                    "result_id": batch.result_id, "interrupt": interrupt,
                },
                [],
            )  # fmt: skip
        except FleetError:
            return  # the connection is gone; the batch's own future says so

    # -- events ---------------------------------------------------------------------------------

    def _take(self, batch: Batch, future: Future[Reply]) -> None:
        was_running = self.assignment.remove(batch.engine, batch)
        follower = [b for b in self.assignment.in_flight() if b.engine == batch.engine]
        if follower and follower[0].started is None:
            follower[0].started = time.monotonic()
        try:
            reply = raise_if_refused(future.result())
        except InvalidEngineID as error:
            self._engine_gone(batch, error, was_running=False)
        except Exception as error:  # noqa: BLE001 (the controller is gone: every item fails with it)
            self._fail(batch.items, error)
        else:
            self._take_result(
                batch, reply.head["results"][0], reply.buffers, was_running=was_running
            )

    def _take_result(
        self, batch: Batch, result: JsonDict, frames: list[Any], *, was_running: bool
    ) -> None:
        self._note_printed(batch.engine, result)
        if result["ok"]:
            outcomes = unpack(unpack(frames))
            size = batch.size_bytes + total_bytes(frames)
            seconds = result["completed"] - result["started"]
            self._sizer.record(batch.engine, len(outcomes), seconds, size)
            for item, (status, value) in zip(batch.items, outcomes, strict=False):
                self._settle(item, status, value, batch)
            left = batch.items[len(outcomes) :]
            if not self._dropping:
                self._returned.extend(left)
            return
        info = {**result["error"], "engine_id": batch.engine}
        if info.get("ename") == "UnknownFunction":
            self._knows_function.discard(batch.engine)
            self._returned.extendleft(reversed(batch.items))
            return
        error = engine_error(info, frames)
        if isinstance(error, EngineDied):
            self._engine_gone(batch, error, was_running=was_running)
        elif isinstance(error, CancelledError) and batch.taken_back and not self._dropping:
            self._returned.extend(batch.items)
        elif isinstance(error, CancelledError) and batch.timed_out:
            self._fail(batch.items, _timeout_error(batch))
        else:
            self._fail(batch.items, error, [str(line) for line in info.get("traceback") or ()])

    def _settle(self, item: Item, status: str, value: Any, batch: Batch) -> None:
        if status == "ok":
            self._on_outcome(item, value, None, ())
            return
        frames = value.pop("exception", None)
        if batch.timed_out and value["ename"] == "KeyboardInterrupt":
            self._fail([item], _timeout_error(batch))
            return
        exception = None
        if frames is not None:
            try:
                exception = unpack(frames)
            except Exception:  # noqa: BLE001 (a class that does not exist here)
                exception = None
        info = {**value, "engine_id": batch.engine}
        error: Exception
        if value.get("kind") == "serialization":
            error = SerializationError(value["evalue"])
        else:
            error = restore_error(info, exception)
        self._fail([item], error, value["traceback"])

    def _engine_gone(self, batch: Batch, error: Exception, *, was_running: bool) -> None:
        """Run a dead engine's items elsewhere, those it was at only so often."""
        if isinstance(error, EngineDied):
            self._last_death = error
        self._knows_function.discard(batch.engine)
        if batch.engine not in self._connection.roster.ids:
            self.assignment.drop_engine(batch.engine)
        for item in batch.items:
            item.attempts += was_running
            possible = item.engines is None or item.engines & set(self.assignment.engines)
            if item.attempts > item.retries or not possible or not self.assignment.engines:
                self._fail([item], self._last_death or error)
            elif not self._dropping:
                self._returned.append(item)
        if not self.assignment.engines:
            self._nobody_left(self._last_death or error)

    def _nobody_left(self, error: Exception) -> None:
        returned, self._returned = list(self._returned), deque()
        self._fail(returned, error)
        while items := self._source.take(1000):
            self._fail(items, error)

    def _fail(self, items: list[Item], error: Exception, traceback: Sequence[str] = ()) -> None:
        for item in items:
            self._on_outcome(item, None, error, traceback)

    def _note_printed(self, engine: int, result: JsonDict) -> None:
        for output in result.get("outputs", ()):
            if output.get("name") == "stdout":
                self.printed.stdout[engine] = self.printed.stdout.get(engine, "") + output["text"]
            self.printed.outputs.append({**output, "engine": engine})

    def try_again(self, item: Item) -> None:
        """Put a failed item back in line (an executor's retries)."""
        item.attempts += 1
        self._returned.append(item)


def _timeout_error(batch: Batch) -> TimeoutError:
    return TimeoutError(
        f"the task did not end within {batch.items[0].timeout:g} s and was interrupted"
    )
