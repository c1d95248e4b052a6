"""Handing out items to engines and collecting what becomes of them: under map and executor.

::

    Source.take() -> Batch --'map' request--> engine's queue --> run_batch
          ^                                                          |
       Backlog <-- dead engine, taken back, over budget              v
    on_outcome(Outcome) <----------- events <------- replies of the controller

One thread runs a ``Dispatcher``; replies come in as events from the loop thread, and nothing else
is shared. What to send where is decided in ``schedule.py``.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any

from kernelfleet.client.batches import Backlog, Batch, Item, Outcome, Printed, Source, cut
from kernelfleet.client.connection import Connection, Reply, raise_if_refused
from kernelfleet.client.decode import engine_error, error_of_item, unreadable
from kernelfleet.client.schedule import BUDGET_SECONDS, Assignment, BatchSizer
from kernelfleet.errors import (
    EngineDied,
    FleetError,
    FleetStopped,
    InvalidEngineID,
    MessageTooLarge,
    SerializationError,
)
from kernelfleet.wire.printed import printed
from kernelfleet.wire.serialize import EngineFunction, pack, pack_nested, total_bytes, unpack

JsonDict = dict[str, Any]

_RUN_BATCH = EngineFunction("kernelfleet.engine.mapping", "run_batch")


class Dispatcher:
    """See the module's docstring.

    Args:
        connection: Where requests go.
        engines: Says which engines take part; asked before each round of sending.
        source: Gives the items.
        on_outcome: Gets what became of each item.
        function: What is called with each item, or its source text.
        star: Items are tuples of arguments.
        label: What ``queue_status`` shows.
        verb: ``map`` or ``task``.
        chunksize: Items per batch; None adapts.
        budget: Seconds after which a batch gives the rest of its items back; None is no limit.
        stop_on_error: A failing item ends the call on its engine.
        steal: Take waiting batches back when an engine idles.
    """

    def __init__(
        self,
        connection: Connection,
        engines: Callable[[], Sequence[int]],
        source: Source,
        on_outcome: Callable[[Outcome], None],
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
        now = list(engines())
        self.printed = Printed()
        self.assignment: Assignment[Batch] = Assignment(now)
        #: Why nothing can be sent any more, if that has nothing to do with any item.
        self.lost: Exception | None = None
        self._connection, self._source, self._on_outcome = connection, source, on_outcome
        self._engines, self._present = engines, now
        self._any_engine = now[0] if now else 0
        self._function_frames = pack_nested(function)
        self._function_id = connection.next_result_id()
        self._star, self._label, self._verb = star, label, verb
        self._budget, self._stop_on_error, self._steal = budget, stop_on_error, steal
        self._sizer = BatchSizer(max(1, len(now)), chunksize)
        self._knows_function: set[int] = set()
        self._backlog = Backlog()
        self._events: queue.SimpleQueue[tuple[Batch, Future[Reply]] | None] = queue.SimpleQueue()
        self._dropping = False
        self._last_death: EngineDied | None = None
        self._listen_no_more = connection.when_changed(self.wake)

    # -- the thread's side ----------------------------------------------------------------------

    def fill(self) -> None:
        """Send batches while there are items and engines with room for them."""
        self._look_who_is_there()
        while not self._dropping:
            batch = self._next_batch()
            if batch is None:
                break
            self._send(batch)
        self._fail_what_nobody_can_run()
        if self._steal and not self._dropping:
            self._take_back()

    @property
    def busy(self) -> bool:
        """Whether anything is under way or waits to be sent again."""
        return bool(len(self._backlog) or self.assignment.in_flight())

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

    def close(self) -> None:
        """Call it when done: nothing is taken any more."""
        self._listen_no_more()
        # Both refer to us or to our owner: all the values would wait for a garbage collection.
        self._listen_no_more = _nothing
        self._on_outcome = _nothing

    def drop_the_rest(self) -> None:
        """Hand out nothing more: what has not started is dropped, what runs goes on."""
        self._dropping = True
        self._backlog.clear()
        for _, batch in self.assignment.waiting():
            self._cancel(batch, interrupt=False)

    def cancel_all(self, *, interrupt: bool) -> None:
        """Drop what waits; with ``interrupt`` stop what runs, too."""
        self._dropping = True
        self._backlog.clear()
        for batch in self.assignment.in_flight():
            self._cancel(batch, interrupt=interrupt)

    def try_again(self, item: Item) -> None:
        """Put a failed item back in line."""
        self._backlog.put([item])

    # -- sending --------------------------------------------------------------------------------

    def _look_who_is_there(self) -> None:
        """Engines come (scale, restart) and go."""
        now = list(self._engines())
        if now != self._present:
            self._present = now
            self.assignment.set_engines(now)
            self._sizer.n_engines = max(1, len(now))
        if not now and not self.assignment.in_flight():
            self._give_up(self._last_death or self._gone(self._any_engine))

    def _fail_what_nobody_can_run(self) -> None:
        here = set(self._present)
        for engines, _ in list(self._backlog.waiting()):
            if engines is not None and not engines & here:
                gone = self._last_death or self._gone(min(engines))
                self._fail(self._backlog.clear(engines.__eq__), gone)

    def _next_batch(self) -> Batch | None:
        batch = self._from_backlog()
        while batch is None:
            engine = self.assignment.next_engine()
            if engine is None:
                return None
            items = self._source.take(self._sizer.size(engine, self._source.remaining))
            if not items:
                return None
            if not any(item.alone or item.engines is not None for item in items):
                return self._batch(engine, items)
            self._backlog.put(items)
            batch = self._from_backlog()
        return batch

    def _from_backlog(self) -> Batch | None:
        """What waits again and may run on an engine with room."""
        for engines, count in self._backlog.waiting():
            engine = self.assignment.next_engine(engines)
            if engine is not None:
                more = (self._source.remaining or 0) if engines is None else 0
                size = self._sizer.size(engine, count + more)
                return self._batch(engine, self._backlog.take(engines, size))
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
            "keep": False,  # nobody will ask for a batch by its id
            "limit": batch.items[0].timeout,
        }
        try:
            future = self._connection.request(head, list(frames))
        except MessageTooLarge as error:  # their own fault, not the connection's
            if batch.with_function:
                self._knows_function.discard(batch.engine)
            self._fail(batch.items, error)
            return
        except FleetError as error:
            self._lose(batch.items, error)
            return
        self.assignment.add(batch.engine, batch)
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
                self._put_back([item])

    def _put_back(self, items: Sequence[Item], *, first: bool = False) -> None:
        if not self._dropping:
            (self._backlog.put_first if first else self._backlog.put)(items)

    def _take_back(self) -> None:
        """Take waiting batches back for engines that idle.

        First those that wait behind others of ours; then also the first ones, which wait only if
        their engine works for somebody else: taking back what runs does nothing.
        """
        idle = set(self.assignment.idle())
        places = len(idle)
        surely = self.assignment.waiting()
        for i, (_, batch) in enumerate([*surely, *self.assignment.first()]):
            if places <= 0:
                return
            if not any(item.engines is None or item.engines & idle for item in batch.items):
                continue
            places -= i < len(surely)
            if not batch.taken_back:
                batch.taken_back = True
                self._cancel(batch, interrupt=False)

    def _cancel(self, batch: Batch, *, interrupt: bool) -> None:
        head = {"type": "request", "verb": "cancel", "result_id": batch.result_id}
        try:
            self._connection.request({**head, "interrupt": interrupt}, [])
        except FleetError:
            return  # the connection is gone; the batch's own future says so

    # -- events ---------------------------------------------------------------------------------

    def _take(self, batch: Batch, future: Future[Reply]) -> None:
        was_first = self.assignment.remove(batch.engine, batch)
        try:
            reply = raise_if_refused(future.result())
        except InvalidEngineID:
            self._engine_gone(batch, self._gone(batch.engine), ran=False)
        except Exception as error:  # noqa: BLE001 (the controller is gone, or cannot do it at all)
            self._lose(batch.items, error)
        else:
            self._take_result(batch, reply.head["results"][0], reply.buffers, was_first)

    def _take_result(
        self, batch: Batch, result: JsonDict, frames: list[Any], was_first: bool
    ) -> None:
        self.printed.add(batch.engine, result)
        if result["ok"]:
            self.assignment.occupied.discard(batch.engine)
            self._take_outcomes(batch, result, frames)
            return
        info = {**result["error"], "engine_id": batch.engine}
        if info.get("ename") == "UnknownFunction":
            self._knows_function.discard(batch.engine)
            self._put_back(batch.items, first=True)
            return
        error = engine_error(info, frames)
        if isinstance(error, EngineDied):
            self._engine_gone(batch, error, ran=bool(info.get("ran")))
        elif isinstance(error, FleetStopped):
            self._lose(batch.items, error)
        elif isinstance(error, CancelledError) and batch.taken_back and not self._dropping:
            if was_first:
                self.assignment.occupied.add(batch.engine)
            self._put_back(batch.items, first=True)
        else:
            if isinstance(error, TimeoutError) and batch.items[0].timeout is not None:
                self.assignment.occupied.add(batch.engine)  # it does not heed interrupts
            traceback = [str(line) for line in info.get("traceback") or ()]
            self._fail(batch.items, error, traceback, batch.engine)

    def _take_outcomes(self, batch: Batch, result: JsonDict, frames: list[Any]) -> None:
        try:
            outcomes, ends = unpack(unpack(frames))
        except Exception as error:  # noqa: BLE001 (whatever the user's classes raise)
            what = "result" if len(batch.items) == 1 else "results of a batch"
            self._fail(batch.items, unreadable(batch.engine, error, what), engine=batch.engine)
            return
        count = len(outcomes)
        size = batch.size_bytes + total_bytes(frames)
        seconds = result["completed"] - result["started"]
        self._sizer.record(batch.engine, count, seconds, size)
        self._put_back(batch.items[count:], first=True)
        stdout, stderr = (
            cut(printed(result, name), ends.get(name), count) for name in ("stdout", "stderr")
        )
        for i, (item, (status, value)) in enumerate(zip(batch.items, outcomes, strict=False)):
            outcome = Outcome(item, engine=batch.engine, stdout=stdout[i], stderr=stderr[i])
            if status == "ok":
                outcome.value = value
            else:
                outcome.traceback = value["traceback"]
                overdue = result.get("overdue") and value["ename"] == "KeyboardInterrupt"
                outcome.error = _overdue(item) if overdue else error_of_item(value, batch.engine)
            self._on_outcome(outcome)

    def _gone(self, engine: int) -> EngineDied:
        """The death of an engine that had nothing of ours."""
        how = self._connection.roster.dead.get(engine) or "it has left the fleet"
        return EngineDied(engine, how=how)

    def _engine_gone(self, batch: Batch, error: EngineDied, *, ran: bool) -> None:
        """Run a dead engine's items elsewhere, those it was at only so often."""
        self._last_death = error
        self._knows_function.discard(batch.engine)
        self._look_who_is_there()
        for item in batch.items:
            item.deaths += ran
            possible = item.engines is None or item.engines & set(self.assignment.engines)
            if item.deaths > item.death_retries or not possible or not self.assignment.engines:
                self._fail([item], error, engine=batch.engine)
            else:
                self._put_back([item])

    def _give_up(self, error: Exception) -> None:
        """Nothing can run any more: fail what waits (a map drops it at the first failure)."""
        self._fail(self._backlog.clear(), error)
        while not self._dropping and (items := self._source.take(1000)):
            self._fail(items, error)

    def _lose(self, items: list[Item], error: Exception) -> None:
        """The whole call is refused, or its connection gone: no item's fault."""
        self.lost = self.lost or error
        self._fail(items, error)
        self._give_up(error)

    def _fail(
        self,
        items: Sequence[Item],
        error: Exception,
        traceback: Sequence[str] = (),
        engine: int | None = None,
    ) -> None:
        for item in items:
            self._on_outcome(Outcome(item, error=error, traceback=traceback, engine=engine))


def _nothing(*_: object) -> None:
    """After the end."""


def _overdue(item: Item) -> TimeoutError:
    return TimeoutError(f"the task did not end within {item.timeout:g} s and was interrupted")
