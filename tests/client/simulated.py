"""A fleet in a simulated clock, behind the face of a Connection: items are how long they take.

Nothing sleeps and no thread runs: ``drive`` moves the clock from the end of one batch to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, cast

from kernelfleet.client.controller_proxy import ControllerProxy, KnownEngines
from kernelfleet.client.mapping.batches import Item, Outcome
from kernelfleet.client.mapping.dispatch import Dispatcher
from kernelfleet.client.mapping.options import Call
from kernelfleet.client.results.replies import Reply
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.serialize import pack, pack_nested, unpack


@dataclass(eq=False)
class Work:
    """A batch in a simulated engine's queue; without a future it is somebody else's command."""

    header: JsonDict
    items: Sequence[Any]
    budget: float | None
    future: Future[Reply] | None
    begins: float | None = None

    def spend(self) -> tuple[int, float]:
        """How many items it gets to, and how long it takes."""
        seconds = 0.0
        for count, item in enumerate(self.items, 1):
            seconds += float(item)
            if self.budget is not None and seconds > self.budget:
                return count, seconds
        return len(self.items), seconds


@dataclass
class SimulatedFleet:
    """Engines that run one batch at a time."""

    n: int
    clock: float = 0.0
    queues: dict[int, list[Work]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    cancels: int = 0
    #: Seconds that each batch costs beside its items.
    overhead: float = 0.001
    shares_memory: bool = False
    fleet: JsonDict = field(default_factory=dict)
    refusal: JsonDict | None = None
    #: As of a process that is no engine.
    own_engine: tuple[int | None] | None = (None,)

    def __post_init__(self) -> None:
        self.roster = KnownEngines(list(range(self.n)), {}, self.n)
        self.queues = {engine: [] for engine in range(self.n)}
        self._ids = iter(range(10**9))
        self._functions: set[tuple[int, str]] = set()

    @property
    def connection(self) -> ControllerProxy:
        return cast(ControllerProxy, self)

    def when_changed(self, _: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def next_result_id(self) -> str:
        return f"id-{next(self._ids)}"

    def request(
        self, header: JsonDict, frames: list[Any], _on_output: object = None
    ) -> Future[Reply]:
        future: Future[Reply] = Future()
        if header["operation"] == "cancel":
            self._cancel(header["result_id"])
            return future
        (engine,) = header["targets"]
        _, (function_id, function, payloads, _, budget, _, _), _ = unpack(frames)
        if self.refusal is not None:
            future.set_result(Reply({"refused": self.refusal}, []))
        elif engine not in self.roster.ids:
            refused = {"ename": "InvalidEngineID", "evalue": f"no engine {engine}"}
            future.set_result(Reply({"refused": refused}, []))
        else:
            if function is not None:
                self._functions.add((engine, function_id))
            assert (engine, function_id) in self._functions, "the engine does not know the function"
            self.sizes.append(len(payloads))
            self._put(engine, Work(header, payloads, budget, future))
        return future

    def occupy(self, engine: int, seconds: float) -> None:
        """Somebody else's command."""
        self._put(engine, Work({"result_id": "foreign"}, [seconds], None, None))

    def _put(self, engine: int, work: Work) -> None:
        self.queues[engine].append(work)
        self._begin(engine)

    def _begin(self, engine: int) -> None:
        if self.queues[engine] and self.queues[engine][0].begins is None:
            self.queues[engine][0].begins = self.clock

    def _cancel(self, result_id: str) -> None:
        self.cancels += 1
        for queue in self.queues.values():
            for work in [each for each in queue if each.header["result_id"] == result_id]:
                if work.begins is None:
                    queue.remove(work)
                    self._fail(work, "Cancelled", "cancelled before it started")

    def kill(self, engine: int) -> None:
        """It dies: what it had fails."""
        self.roster.ids.remove(engine)
        self.roster.dead[engine] = "killed by signal 9 (SIGKILL)"
        lost, self.queues[engine] = self.queues[engine], []
        for work in lost:
            self._fail(work, "EngineDied", "killed", ran=work.begins is not None, signal=9)

    def _fail(self, work: Work, ename: str, evalue: str, **details: Any) -> None:
        error = {"ename": ename, "evalue": evalue, "kind": "engine", **details}
        assert work.future is not None
        work.future.set_result(Reply({"results": [{"ok": False, "error": error}]}, []))

    def advance(self) -> None:
        """Go on to the end of the next batch."""
        ends = {
            engine: queue[0].begins + queue[0].spend()[1] + self.overhead
            for engine, queue in self.queues.items()
            if queue and queue[0].begins is not None
        }
        engine = min(ends, key=ends.__getitem__)
        self.clock = ends[engine]
        work = self.queues[engine].pop(0)
        self._begin(engine)
        if work.future is None:
            return
        count, seconds = work.spend()
        outcomes = [("ok", item) for item in work.items[:count]]
        frames = pack(pack_nested((outcomes, {})))
        result = {"ok": True, "started": self.clock - seconds, "completed": self.clock}
        header = {"results": [{**result, "buffers": len(frames)}]}
        work.future.set_result(Reply(header, list(frames)))


class Collector:
    """Gets outcomes, each item once."""

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}
        self.errors: dict[int, Exception] = {}

    def __call__(self, outcome: Outcome) -> None:
        key = outcome.item.key
        assert key not in self.values
        assert key not in self.errors
        if outcome.error is None:
            self.values[key] = outcome.value
        else:
            self.errors[key] = outcome.error


class Items:
    """A list as a source."""

    varied = True

    def __init__(self, payloads: Iterable[Any], **options: Any) -> None:
        self.items = [Item(i, payload, **options) for i, payload in enumerate(payloads)]

    @property
    def remaining(self) -> int:
        return len(self.items)

    def take(self, count: int) -> list[Item]:
        taken, self.items = self.items[:count], self.items[count:]
        return taken


def make(fleet: SimulatedFleet, source: Any, collector: Collector, **options: Any) -> Dispatcher:
    """A dispatcher on the simulated fleet."""
    options = {"function": abs, "label": "test", **options}
    here = lambda: list(fleet.roster.ids)  # noqa: E731
    return Dispatcher(fleet.connection, here, source, collector, Call(**options))


def drive(dispatcher: Dispatcher, fleet: SimulatedFleet) -> float:
    """Run to the end; returns when that was."""
    dispatcher.fill()
    while dispatcher.busy:
        if not dispatcher.step(timeout=0):
            fleet.advance()
        dispatcher.fill()
    return fleet.clock
