"""Sends items to engines and collects what becomes of them, for ``map`` and the executor.

::

    Source.take() -> Batch --'map' request--> engine's queue --> run_batch
          ^                                                          |
       Backlog <-- dead engine, taken back, over budget              v
    on_outcome(Outcome) <----------- events <------- replies of the controller

One thread runs a ``Dispatcher``; replies come in as events from the loop thread, and nothing else
is shared. What to send where is decided in ``schedule.py``, and whether an item that has failed is
tried again in ``retries.py``.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress

from kernelfleet.client.controller_proxy import ControllerProxy, raise_if_refused
from kernelfleet.client.mapping.batch_requests import BatchRequests
from kernelfleet.client.mapping.batches import Batch, Item, Outcome, Printed, Source
from kernelfleet.client.mapping.nested import run_here, would_wait_for_itself
from kernelfleet.client.mapping.options import Call
from kernelfleet.client.mapping.outcomes import read_outcomes
from kernelfleet.client.mapping.retries import Cause, Verdict, cause_of
from kernelfleet.client.mapping.schedule import Assignment, BatchSizer
from kernelfleet.client.mapping.supply import Supply
from kernelfleet.client.results.decode import engine_error, unreadable
from kernelfleet.client.results.own_engine import own_engine
from kernelfleet.client.results.replies import Part, Reply
from kernelfleet.errors.tree import (
    EngineDied,
    FleetError,
    FleetStopped,
    InvalidEngineID,
    MessageTooLarge,
    SerializationError,
    UnsupportedOperation,
)
from kernelfleet.session import ctrl_c
from kernelfleet.wire.objects.serialize import pack

#: When no reply has come for so long and engines idle, the batches of others are asked back, in
#: case those work for other clients. That is a request for each, and most tasks end sooner.
PATIENCE_SECONDS = 0.01


class Dispatcher:
    """Hands out the items of one call; see the module's docstring.

    Args:
        connection: Where requests go.
        engines: Says which engines take part; asked before each round of sending.
        source: Gives the items.
        on_outcome: Gets what became of each item, once.
        call: What is done with each item.
    """

    def __init__(
        self,
        connection: ControllerProxy,
        engines: Callable[[], Sequence[int]],
        source: Source,
        on_outcome: Callable[[Outcome], None],
        call: Call,
    ) -> None:
        now = list(engines())
        self.printed = Printed()
        self._call = call
        #: The engine that this process is, if it takes part; see ``_help``.
        self._own = own if (own := own_engine(connection)) in now else None
        self._helped = 0
        self.assignment: Assignment[Batch] = Assignment(now, self._own)
        #: Held while a batch goes out, so that whoever holds it knows where each item is.
        self.sending = threading.RLock()
        #: Why nothing can be sent any more, if that has nothing to do with any item.
        self.lost: Exception | None = None
        self._connection, self._source, self._on_outcome = connection, source, on_outcome
        self._engines, self._present = engines, now
        self._any_engine = now[0] if now else 0
        self._requests = BatchRequests(connection, now, call)
        self._sizer = BatchSizer(max(1, len(now)), call.chunksize)
        self._supply = Supply(source, self._sizer)
        self._backlog = self._supply.backlog
        self._events: queue.SimpleQueue[tuple[Batch, Future[Reply]] | None] = queue.SimpleQueue()
        self._dropping = False
        self._last_death: EngineDied | None = None
        self._stop_listening = connection.when_changed(self.wake)

    # -- the thread's side ----------------------------------------------------------------------

    def fill(self) -> None:
        """Send batches while there are items and engines with room for them."""
        self._look_who_is_there()
        while not self._dropping:
            next_one = self._supply.next(self.assignment)
            if next_one is None:
                break
            self._send_what_is_wanted(self._requests.batch(*next_one))
        self._fail_what_nobody_can_run()
        if self._call.steals and not self._dropping:
            self._take_back(first=False)

    @property
    def call_id(self) -> str:
        """What all its batches are marked with, for ``timeline``."""
        return self._requests.call_id

    @property
    def busy(self) -> bool:
        """Whether anything is in flight or waits to be sent again."""
        return bool(len(self._backlog) or self.assignment.in_flight())

    @property
    def items_in_flight(self) -> int:
        """How many items are in flight."""
        return sum(len(batch.items) for batch in self.assignment.in_flight())

    def step(self, timeout: float | None = None) -> bool:
        """Wait for an event and deal with it; False if none came within ``timeout`` seconds."""
        if self._own is not None and timeout is None and self._events.empty():
            self._help(self._own)
        try:
            event = self._next_event(timeout)
        except queue.Empty:
            return False
        if event is not None:
            self._take(*event)
        return True

    def _next_event(self, timeout: float | None) -> tuple[Batch, Future[Reply]] | None:
        """Wait for an event; if none comes soon, engines may be at work for other clients."""
        if self._call.steals and not self._dropping and self.assignment.idle():
            patience = PATIENCE_SECONDS if timeout is None else min(PATIENCE_SECONDS, timeout)
            with suppress(queue.Empty):
                return self._events.get(timeout=patience)
            self._take_back(first=True)
        return ctrl_c.get_from(self._events, timeout)

    def wake(self) -> None:
        """Make ``step`` return; from any thread."""
        self._events.put(None)

    def close(self) -> None:
        """End it: replies that still come are ignored."""
        self._stop_listening()
        # Both refer to this object or its owner, in a circle: without this, all the values would
        # be kept until a garbage collection.
        self._stop_listening = _nothing
        self._on_outcome = _nothing

    def drop_the_rest(self) -> None:
        """Send nothing more: what has not started is dropped, what runs goes on."""
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

    def take_back_what_waits(self) -> None:
        """Take back every batch that no engine has begun; from any thread."""
        for batch in self.assignment.in_flight():
            batch.taken_back = True
            self._cancel(batch, interrupt=False)

    # -- sending --------------------------------------------------------------------------------

    def _look_who_is_there(self) -> None:
        """Note which engines have come (``scale``, ``restart``) and gone."""
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

    def _send_what_is_wanted(self, batch: Batch) -> None:
        unwanted = []
        with self.sending:
            for item in batch.items:
                if item.unwanted:
                    unwanted.append(item)
                else:
                    item.batch = batch
            batch.items = [item for item in batch.items if not item.unwanted]
            if batch.items:
                self._send(batch)
            else:
                self._requests.not_sent(batch)
        self._fail(unwanted, CancelledError())

    def _send(self, batch: Batch) -> None:
        try:
            header, frames = self._requests.encode(batch)
        except (SerializationError, UnsupportedOperation) as error:
            self._refuse_items(batch, error)
            return
        try:
            future = self._connection.request(header, frames, self._call.on_output)
        except MessageTooLarge as error:  # the items' fault, not the connection's
            self._requests.not_sent(batch)
            self._fail(batch.items, error)
            return
        except FleetError as error:
            self._lose(batch.items, error)
            return
        self.assignment.add(batch.engine, batch)
        future.add_done_callback(lambda done: self._events.put((batch, done)))

    def _refuse_items(self, batch: Batch, error: Exception) -> None:
        """Fail the items that cannot be pickled, or not for this engine; put the others back."""
        self._requests.not_sent(batch)
        others = self._connection.roster.others([batch.engine])
        for item in batch.items:
            pieces = [(f"item {item.key}", item.payload)]
            try:
                pack(item.payload, other_pythons=others, pieces=pieces.copy)
                if len(batch.items) == 1:
                    raise error
            except (SerializationError, UnsupportedOperation) as own:
                self._fail([item], own)
            else:
                self._put_back([item])

    def _put_back(self, items: Sequence[Item], *, first: bool = False) -> None:
        for item in items:
            item.batch = None
        if not self._dropping:
            (self._backlog.put_first if first else self._backlog.put)(items)

    def _take_back(self, *, first: bool) -> None:
        """Take waiting batches back for engines that idle; ``first`` also those that may run."""
        for batch in self.assignment.worth_taking_back(Batch.suits, first=first):
            if not batch.taken_back:
                batch.taken_back = True
                self._cancel(batch, interrupt=False)

    def _cancel(self, batch: Batch, *, interrupt: bool) -> None:
        header = {"type": "request", "operation": "cancel", "result_id": batch.result_id}
        with suppress(FleetError):  # the connection is gone; the batch's own future says so
            self._connection.request({**header, "interrupt": interrupt}, [])

    # -- on an engine of our own fleet ----------------------------------------------------------

    def _help(self, own: int) -> None:
        """Run items in this process, whose engine may be waiting for this very call.

        What waits in queues is taken back. If that shows the own engine to be busy, its command is
        what waits for this call, and batches are run here. Other busy engines are tried again now
        and then.
        """
        assignment = self.assignment
        own_is_at_work = own in assignment.occupied
        items = self._supply.for_engine(own) if own_is_at_work else []
        if items:
            batch = self._requests.batch(own, items)
            batch.with_function = True  # what went to its queue may have been taken back
            assignment.add(own, batch)
            self._events.put((batch, run_here(self._requests.encode(batch)[1])))
            self._helped += 1
            if self._helped & (self._helped - 1) == 0:  # each time twice as many batches later
                assignment.occupied.clear()
            return
        for batch in assignment.in_flight():
            if not batch.taken_back:
                batch.taken_back = True
                self._cancel(batch, interrupt=False)
        if own_is_at_work and not assignment.in_flight() and len(self._backlog):
            self._fail(self._backlog.clear(), would_wait_for_itself(own))
            self.wake()

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
            self._take_result(batch, reply.parts()[0], was_first)

    def _take_result(self, batch: Batch, part: Part, was_first: bool) -> None:
        if self._call.keeps_output:
            self.printed.add(batch.engine, part.outputs)
        result = part.result
        if result["ok"]:
            self.assignment.occupied.discard(batch.engine)
            self._take_outcomes(batch, part)
            return
        info = {**result["error"], "engine_id": batch.engine}
        if info.get("ename") == "UnknownFunction":
            self._requests.forget(batch.engine)
            self._put_back(batch.items, first=True)
            return
        error = engine_error(info, part.frames)
        if isinstance(error, EngineDied):
            self._engine_gone(batch, error, ran=bool(info.get("ran")))
        elif isinstance(error, FleetStopped):
            self._lose(batch.items, error)
        elif isinstance(error, CancelledError) and batch.taken_back and not self._dropping:
            if was_first:
                self.assignment.occupied.add(batch.engine)
            self._requests.not_sent(batch)
            self._put_back(batch.items, first=True)
        else:
            if isinstance(error, TimeoutError) and batch.items[0].timeout is not None:
                self.assignment.occupied.add(batch.engine)  # it does not respond to interrupts
            traceback = [str(line) for line in info.get("traceback") or ()]
            self._fail(batch.items, error, traceback, batch.engine)

    def _take_outcomes(self, batch: Batch, part: Part) -> None:
        try:
            count, outcomes, size = read_outcomes(batch, part)
        except Exception as error:  # noqa: BLE001 (whatever the user's classes raise)
            what = "result" if len(batch.items) == 1 else "results of a batch"
            self._fail(batch.items, unreadable(batch.engine, error, what), engine=batch.engine)
            return
        seconds = part.result["completed"] - part.result["started"]
        self._sizer.record(batch.engine, count, seconds, size)
        self._put_back(batch.items[count:], first=True)
        for outcome in outcomes:
            self._settle(outcome)

    def _gone(self, engine: int) -> EngineDied:
        """The death of an engine that had no batch of this call."""
        how = self._connection.roster.dead.get(engine) or "it has left the fleet"
        return EngineDied(engine, how=how)

    def _engine_gone(self, batch: Batch, error: EngineDied, *, ran: bool) -> None:
        """Run a dead engine's items elsewhere, where their policy and the engines left allow it."""
        self._last_death = error
        self._requests.forget(batch.engine)
        self._look_who_is_there()
        here = set(self.assignment.engines)
        for item in batch.items:
            item.deaths += ran
            possible = here if item.engines is None else item.engines & here
            verdict = item.after(cause_of(error, begun=ran))
            if possible and verdict is Verdict.ELSEWHERE:
                self._put_back([item])
            else:
                self._fail([item], error, engine=batch.engine)

    def _give_up(self, error: Exception) -> None:
        """Fail all that waits, because nothing can run any more."""
        self._fail(self._backlog.clear(), error)
        while not self._dropping and (items := self._source.take(1000)):
            self._fail(items, error)

    def _lose(self, items: list[Item], error: Exception) -> None:
        """Fail the whole call, which was refused or has lost its connection."""
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
            self._settle(Outcome(item, error=error, traceback=traceback, engine=engine))

    def _settle(self, outcome: Outcome) -> None:
        """Hand an outcome over, unless the item may be tried again after an error of its own."""
        item, error = outcome.item, outcome.error
        if error is not None and self.lost is None and not (self._dropping or item.unwanted):
            cause = cause_of(error)
            item.errors += cause is Cause.ERROR
            if item.after(cause) is Verdict.RESEND:
                self._put_back([item])
                return
        self._on_outcome(outcome)


def _nothing(*_: object) -> None:
    """Stands for functions that are not to be called after the end."""
