"""``map`` and ``imap``: a function over sequences, balanced over engines.

A ``MapRun`` is one call: it feeds a ``Dispatcher`` and collects the values. ``map`` runs it on a
thread of its own, so that it goes on when the caller does not wait; ``imap`` runs it in the thread
of whoever takes the next value, which bounds what is in flight by itself.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

from kernelfleet.client.controller_proxy import ControllerProxy, OnOutput
from kernelfleet.client.mapping.batches import Item, Outcome, Source
from kernelfleet.client.mapping.dispatch import Dispatcher
from kernelfleet.client.mapping.options import Call, MapOptions
from kernelfleet.client.mapping.retries import RetryPolicy
from kernelfleet.client.mapping.schedule import BUDGET_SECONDS, DEPTH
from kernelfleet.client.partition.blocks import edges
from kernelfleet.client.results.call import SETTLE_SECONDS
from kernelfleet.client.results.decode import Reader
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.errors.composite import CompositeError, Failure
from kernelfleet.session.future import Future
from kernelfleet.wire.messages import JsonDict

#: How many values an ``imap`` may have in flight or waiting to be taken, per item in flight.
BUFFERED_BATCHES = 2
MIN_BUFFERED = 64
#: The largest batch of an ``imap``, and how often it looks whether engines want more.
MAX_LAZY_BATCH = 1024
REFILL_EVERY = 32


class _Sliced:
    """A list as a source."""

    varied = False

    def __init__(self, items: list[Any], policy: RetryPolicy) -> None:
        self._items, self._policy, self._next = items, policy, 0

    @property
    def remaining(self) -> int:
        return len(self._items) - self._next

    def take(self, count: int) -> list[Item]:
        start, self._next = self._next, min(self._next + count, len(self._items))
        chosen = self._items[start : self._next]
        return [Item(i, item, self._policy) for i, item in enumerate(chosen, start)]


class _Blocks:
    """A list in one contiguous block per engine, as ``scatter`` cuts it."""

    varied = False

    def __init__(self, items: list[Any], n_engines: int, policy: RetryPolicy) -> None:
        self._whole = _Sliced(items, policy)
        self._sizes = [stop - start for start, stop in edges(len(items), n_engines)]

    @property
    def remaining(self) -> int:
        return self._whole.remaining

    def take(self, count: int) -> list[Item]:
        del count  # a block is a block
        return self._whole.take(self._sizes.pop(0)) if self._sizes else []


class _Lazy:
    """An iterator as a source, which gives only as much as there is room for."""

    varied = False

    def __init__(self, items: Iterator[Any], policy: RetryPolicy, chunksize: int | None) -> None:
        self._items, self._policy, self.chunksize = items, policy, chunksize
        self._count = itertools.count()
        self.room = 0
        self.exhausted = False
        self.error: BaseException | None = None

    @property
    def remaining(self) -> None:
        return None

    def take(self, count: int) -> list[Item]:
        taken: list[Item] = []
        count = min(count, self.room, self.chunksize or MAX_LAZY_BATCH)
        while len(taken) < count and not self.exhausted:
            try:
                taken.append(Item(next(self._count), next(self._items), self._policy))
            except StopIteration:
                self.exhausted = True
            except Exception as error:  # noqa: BLE001 (the user's generator; raised when reached)
                self.exhausted, self.error = True, error
        self.room -= len(taken)
        return taken


class MapRun:
    """One ``map`` over a list: values by index, and the failures."""

    def __init__(
        self,
        connection: ControllerProxy,
        engines: Sequence[int],
        function: Any,
        items: list[Any],
        options: MapOptions,
        *,
        star: bool,
        label: str,
        on_output: OnOutput | None = None,
    ) -> None:
        self.total = len(items)
        self.values: dict[int, Any] = {}
        self.failures: dict[int, Failure] = {}
        self._return_exceptions = options.return_exceptions
        self._interrupt: bool | None = None
        self._cancel_sent: queue.SimpleQueue[None] = queue.SimpleQueue()
        adapts = not options.is_static and options.chunksize is None
        call = Call(
            function, label, star=star, chunksize=options.chunksize,
            budget=BUDGET_SECONDS if adapts else None,
            stop_on_error=not options.return_exceptions, steals=not options.is_static,
            keeps_output=True, on_output=on_output,
        )  # fmt: skip
        source = _source(items, len(engines), options)
        engines_now = present(connection, engines)
        self.dispatcher = Dispatcher(connection, engines_now, source, self._settle, call)

    def _settle(self, outcome: Outcome) -> None:
        key = outcome.item.key
        if outcome.error is None:
            self.values[key] = outcome.value
        elif self.dispatcher.lost is not None or _dropped(outcome):
            self.dispatcher.drop_the_rest()
        elif self._return_exceptions:
            self.values[key] = as_value(outcome, "map")
        else:
            self.failures[key] = Failure(key, outcome.error, list(outcome.traceback))
            self.dispatcher.drop_the_rest()

    def start(self, future: Future[Any]) -> None:
        """Run on a thread of its own until done; ``future`` gets the values."""
        threading.Thread(
            target=self.run, args=(future,), name="kernelfleet-map", daemon=True
        ).start()

    def run(self, future: Future[Any]) -> None:
        """Run to the end and resolve ``future``.

        The future is not an attribute: a MapResult refers to its run, and a circle of references
        would keep all the values until a garbage collection.
        """
        dispatcher = self.dispatcher
        try:
            dispatcher.fill()
            while dispatcher.busy:
                dispatcher.step()
                if self._interrupt is not None:
                    interrupt, self._interrupt = self._interrupt, None
                    dispatcher.cancel_all(interrupt=interrupt)
                    self._cancel_sent.put(None)
                dispatcher.fill()
            self._resolve(future)
        except BaseException as error:  # noqa: BLE001 (whoever waits must not hang)
            future.set_exception(error)
        finally:
            dispatcher.close()
            self._cancel_sent.put(None)

    def _resolve(self, future: Future[Any]) -> None:
        if self.dispatcher.lost is not None:
            future.set_exception(self.dispatcher.lost)
            return
        if not self.failures and len(self.values) < self.total:
            first = next(index for index in range(self.total) if index not in self.values)
            done = f"{len(self.values)} of {self.total} items were done"
            error = CancelledError(f"the map was cancelled: {done}")
            self.failures[first] = Failure(first, error)
        if self.failures:
            failures = [self.failures[key] for key in sorted(self.failures)]
            future.set_exception(CompositeError.collect("map", failures, self.values))
        else:
            future.set_result([self.values[index] for index in range(self.total)])

    def cancel(self, *, interrupt: bool) -> list[int]:
        """Stop it, from any thread; the engines it was at."""
        engines = sorted({batch.engine for batch in self.dispatcher.assignment.in_flight()})
        self._interrupt = interrupt or bool(self._interrupt)
        self.dispatcher.wake()
        with contextlib.suppress(queue.Empty):
            self._cancel_sent.get(timeout=SETTLE_SECONDS)
        return engines


def _source(items: list[Any], n_engines: int, options: MapOptions) -> Source:
    if options.is_static:
        return _Blocks(items, n_engines, options.retry_policy)
    return _Sliced(items, options.retry_policy)


def as_value(outcome: Outcome, method: str) -> Exception:
    """A failed item as a value: its exception, which carries the engine's traceback."""
    assert outcome.error is not None
    failure = Failure(outcome.item.key, outcome.error, list(outcome.traceback), method)
    failure.note_traceback(failure.tag)
    return outcome.error


def present(connection: ControllerProxy, engines: Sequence[int]) -> Callable[[], list[int]]:
    """Those of the engines that are there now: one that was restarted takes part again."""

    def now() -> list[int]:
        here = set(connection.roster.ids)
        return [engine for engine in engines if engine in here]

    return now


def _dropped(outcome: Outcome) -> bool:
    """Whether the item was dropped before it started; what caused that is reported elsewhere."""
    return isinstance(outcome.error, CancelledError) and not outcome.traceback


class MapResult(PendingResult[list[Any]]):
    """The PendingResult of a ``map``: its work is many requests, and ends with this client."""

    def __init__(
        self, connection: ControllerProxy, reader: Reader, run: MapRun, targets: list[int]
    ) -> None:
        super().__init__(
            connection, reader, result_id=None, method="map", targets=targets, decode={}
        )  # fmt: skip
        self._run = run
        self._values: list[Any] = []

    def set_result(self, result: list[Any]) -> None:
        """All items are done; for the run, on its thread."""
        self._values = result
        Future.set_result(self, result)

    def _decode_reply(self) -> tuple[Any, BaseException | None]:
        """There is no reply to decode: the run has collected the values, or has the error."""
        error = Future.exception(self, 0)
        return (None, error) if error is not None else (self._values, None)

    @property
    def progress(self) -> tuple[int, int]:
        """How many items are done, and how many there are."""
        return len(self._run.values), self._run.total

    def _printed(self, stream: str) -> dict[int, str]:
        """What the items of finished batches have printed, by engine."""
        return dict(self._run.dispatcher.printed.texts[stream])

    def _refuse_what_never_ends(self) -> None:
        """A map on an engine of its own fleet ends: it runs items itself."""

    @property
    def _call_id(self) -> str:
        return self._run.dispatcher.call_id

    def _has_begun(self) -> bool:
        if self._run.values or self._run.failures:
            return True
        return any(
            self._runs(batch.result_id) for batch in self._run.dispatcher.assignment.in_flight()
        )

    def _runs(self, result_id: str) -> bool:
        progress = self._ask_about(result_id)
        return progress is not None and bool(progress["begun"])

    @property
    def outputs(self) -> list[tuple[int, list[JsonDict]]]:
        """Engine id and Jupyter outputs of finished batches."""
        return sorted(self._run.dispatcher.printed.outputs.items())

    def _ask_progress(self, *, where: bool = False) -> JsonDict:
        done, total = self.progress
        return {"done": done, "total": total, "unit": "items"}

    def _stop_work(self, *, interrupt: bool) -> tuple[list[int], list[int]]:
        engines = self._run.cancel(interrupt=interrupt)
        self._connection.call("ping", SETTLE_SECONDS)  # what was sent before has been done then
        return (engines, engines) if interrupt else (engines, [])


def iterate(
    connection: ControllerProxy,
    engines: Sequence[int],
    function: Any,
    items: Iterator[Any],
    options: MapOptions,
    *,
    star: bool,
    ordered: bool,
    label: str,
) -> Iterator[Any]:
    """The values of a lazy map, in order or as they come; see ``imap``."""
    ready: dict[int, Any] = {}
    failures: dict[int, Failure] = {}
    verb = "imap" if ordered else "imap_unordered"

    def settle(outcome: Outcome) -> None:
        key = outcome.item.key
        if outcome.error is None:
            ready[key] = outcome.value
        elif options.return_exceptions and dispatcher.lost is None:
            ready[key] = as_value(outcome, verb)
        else:
            failures[key] = Failure(key, outcome.error, list(outcome.traceback))

    source = _Lazy(items, options.retry_policy, options.chunksize)
    call = Call(function, label, star=star, chunksize=options.chunksize, stop_on_error=False)
    dispatcher = Dispatcher(connection, present(connection, engines), source, settle, call)
    with contextlib.closing(_Window(dispatcher, source, ready, len(engines))) as window:
        for key in itertools.count():
            if key % REFILL_EVERY == 0:
                window.catch_up()
            while not _is_next(key, ready, failures, ordered=ordered) and window.refill():
                dispatcher.step()
            failed = (failures.keys() & {key}) if ordered else sorted(failures)
            if failed:
                chosen = [failures[each] for each in failed]
                raise dispatcher.lost or CompositeError.collect(verb, chosen, ready)
            if not ready:
                break
            yield ready.pop(key if ordered else next(iter(ready)))
        if source.error is not None:
            raise source.error


def _is_next(
    key: int, ready: dict[int, Any], failures: dict[int, Failure], *, ordered: bool
) -> bool:
    return (key in ready or key in failures) if ordered else bool(ready or failures)


class _Window:
    """Bounds how many items are in flight and how many values wait to be taken."""

    def __init__(
        self, dispatcher: Dispatcher, source: _Lazy, ready: dict[int, Any], n_engines: int
    ) -> None:
        self._dispatcher, self._source, self._ready = dispatcher, source, ready
        self._largest = max(MIN_BUFFERED, DEPTH * n_engines * (source.chunksize or 1))

    def refill(self) -> bool:
        """Send what there is room for. Returns whether anything is in flight."""
        in_flight = self._dispatcher.items_in_flight
        self._largest = max(self._largest, in_flight)
        self._source.room = BUFFERED_BATCHES * self._largest - in_flight - len(self._ready)
        self._dispatcher.fill()
        return self._dispatcher.busy

    def catch_up(self) -> None:
        """Deal with replies that have come, so that engines do not wait for the user's loop."""
        while self._dispatcher.step(timeout=0):
            pass
        self.refill()

    def close(self) -> None:
        """Stop the work: no more values are taken."""
        self._dispatcher.cancel_all(interrupt=True)
        self._dispatcher.close()
