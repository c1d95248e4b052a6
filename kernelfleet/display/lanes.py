"""Where the spans of a timeline are drawn: stretches of time, lanes, colours. Pure decisions.

Times in which no engine works for long are cut out, because a notebook's work is a few seconds here
and there in an hour. What is left are *stretches*, drawn one beside the other on one scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


class SpanLike(Protocol):
    """A span as it is drawn; ``kernelfleet.timeline.Span`` describes each attribute."""

    @property
    def engine(self) -> int: ...  # noqa: D102 (here and below: described by Span)
    @property
    def call(self) -> str: ...  # noqa: D102
    @property
    def what(self) -> str: ...  # noqa: D102
    @property
    def operation(self) -> str: ...  # noqa: D102
    @property
    def started(self) -> float: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def outcome(self) -> str: ...  # noqa: D102


#: The idle time between two spans is cut out if it is longer than so much of all the work drawn,
#: and than the second number in seconds.
LONGEST_GAP = 0.25
LONGEST_GAP_SECONDS = 1.0
#: At most so many stretches are drawn, the latest ones.
MAX_STRETCHES = 8
#: A span that is drawn narrower than this joins the bar of its call that ends closer than this.
NARROW_CELLS = 2.0
CLOSE_CELLS = 0.5
#: At most so many calls have a line of their own below the picture, those with the most work.
MAX_CALLS = 10


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time that is drawn, and at which cell of a lane it begins."""

    start: float
    end: float
    cell: int
    cells: int


@dataclass(slots=True)
class Bar:
    """One span on a lane, or several that would be too narrow to be told apart.

    Attributes:
        start: Where it begins, in cells from the left.
        end: Where it ends.
        call: The number of the call in ``Picture.calls``; -1 if the call has no line of its own.
        outcome: How it has ended; of several the worst, see ``OUTCOMES``.
    """

    start: float
    end: float
    call: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Lane:
    """An engine: what it did, and which part of the time that is drawn it has worked."""

    engine: int
    bars: list[Bar]
    share: float


@dataclass(slots=True)
class CallWork:
    """A call: what it is, and the work for it on all engines."""

    call: str
    what: str
    #: Whether its spans are batches of a map, or tasks of an executor.
    batches: bool = False
    spans: int = 0
    seconds: float = 0.0
    failed: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is drawn."""

    cells: int
    stretches: list[Stretch]
    lanes: list[Lane]
    calls: list[CallWork]
    other_calls: int
    #: How many spans lie before the first stretch that is drawn.
    earlier: int

    @property
    def seconds(self) -> float:
        """How much time is drawn."""
        return sum(each.end - each.start for each in self.stretches)


#: Outcomes, the worst first.
OUTCOMES = ("lost", "error", "interrupted", "running", "ok")
_RANK = {outcome: rank for rank, outcome in enumerate(OUTCOMES)}


def picture(
    spans: Sequence[SpanLike],
    engines: Iterable[int],
    cells: int,
    *,
    gap_cells: int = 1,
    window: tuple[float, float] | None = None,
) -> Picture:
    """What to draw.

    Args:
        spans: In the order in which they began.
        engines: The engines that have a lane, in their order.
        cells: How many cells a lane has, in which the smallest bar takes one.
        gap_cells: How many cells are left empty where time is cut out.
        window: The time that is drawn, start and end, whatever there is in it; None draws what the
            spans need.
    """
    if window is not None:
        times, earlier = [window], 0
    else:
        times = _stretches(spans)
        earlier = sum(1 for span in spans if times and span.started < times[0][0])
    stretches = _on_cells(times, cells, gap_cells)
    start = times[0][0] if times else 0.0
    drawn = [span for span in spans if span.started + span.seconds >= start]
    calls, others = _calls(drawn)
    numbers = {each.call: number for number, each in enumerate(calls)}
    by_engine: dict[int, list[SpanLike]] = {engine: [] for engine in engines}
    for span in drawn:
        if span.engine in by_engine:
            by_engine[span.engine].append(span)
    total = sum(end - start for start, end in times)
    lanes = []
    for engine, own in by_engine.items():
        worked = sum(_overlap(span, start, end) for span in own for start, end in times)
        share = min(1.0, worked / total) if total else 0.0
        lanes.append(Lane(engine, _bars(own, stretches, numbers), share))
    return Picture(cells, stretches, lanes, calls, others, earlier)


def _overlap(span: SpanLike, start: float, end: float) -> float:
    return max(0.0, min(end, span.started + span.seconds) - max(start, span.started))


def _stretches(spans: Sequence[SpanLike]) -> list[tuple[float, float]]:
    """The times that are drawn: those with work, and the short idle times between them."""
    worked: list[tuple[float, float]] = []
    for span in spans:
        start, end = span.started, span.started + span.seconds
        if worked and start <= worked[-1][1]:
            worked[-1] = worked[-1][0], max(end, worked[-1][1])
        else:
            worked.append((start, end))
    if not worked:
        return []
    longest = max(LONGEST_GAP_SECONDS, LONGEST_GAP * sum(end - start for start, end in worked))
    stretches = worked[:1]
    for start, end in worked[1:]:
        if start - stretches[-1][1] <= longest:
            stretches[-1] = stretches[-1][0], end
        else:
            stretches.append((start, end))
    return stretches[-MAX_STRETCHES:]


def _on_cells(times: Sequence[tuple[float, float]], cells: int, gap_cells: int) -> list[Stretch]:
    """Stretches on one scale; each has at least one cell."""
    if not times:
        return []
    room = max(len(times), cells - gap_cells * (len(times) - 1))
    total = sum(end - start for start, end in times)
    free = room - len(times)
    stretches, cell = [], 0
    done = 0.0
    for number, (start, end) in enumerate(times, 1):
        done += end - start
        # (rounded on the sum, so that the last one ends with the last cell)
        upto = number + (round(free * done / total) if total else 0)
        count = upto + gap_cells * (number - 1) - cell
        stretches.append(Stretch(start, end, cell, count))
        cell += count + gap_cells
    return stretches


def _calls(spans: Iterable[SpanLike]) -> tuple[list[CallWork], int]:
    """The calls with the most work, in the order in which they began, and how many others."""
    calls: dict[str, CallWork] = {}
    for span in spans:
        call = calls.get(span.call)
        if call is None:
            call = calls[span.call] = CallWork(span.call, *what_of(span))
        call.spans += 1
        call.seconds += span.seconds
        call.failed += span.outcome in ("lost", "error", "interrupted")
        call.running += span.outcome == "running"
    most = sorted(calls.values(), key=lambda each: each.seconds, reverse=True)[:MAX_CALLS]
    chosen = {each.call for each in most}
    return [each for each in calls.values() if each.call in chosen], len(calls) - len(most)


def what_of(span: SpanLike) -> tuple[str, bool]:
    """What a span is a part of, and whether it is a batch: ``map(f) x40`` is one of ``map(f)``."""
    if span.operation in ("map", "task"):
        return span.what.rpartition(" x")[0] or span.what, True
    return span.what, False


def _bars(
    spans: Iterable[SpanLike], stretches: Sequence[Stretch], numbers: dict[str, int]
) -> list[Bar]:
    """The bars of a lane, in the order of time; there are at most as many as cells.

    A span that is drawn narrower than a cell takes one. What ends within the bar before becomes
    part of it, and so do narrow spans of the same call that follow one another closely.
    """
    bars: list[Bar] = []
    for span in spans:
        number = numbers.get(span.call, -1)
        for start, end in _on_lane(span, stretches):
            last = bars[-1] if bars else None
            if last is not None and end <= last.end:
                last.outcome = worse(last.outcome, span.outcome)
            elif (
                last is not None
                and last.call == number
                and start - last.end < CLOSE_CELLS
                and end - start < NARROW_CELLS
            ):
                last.end = end
                last.outcome = worse(last.outcome, span.outcome)
            else:
                begin = start if last is None else max(start, last.end)
                bars.append(Bar(begin, max(end, begin + 1.0), number, span.outcome))
    return bars


def _on_lane(span: SpanLike, stretches: Sequence[Stretch]) -> Iterable[tuple[float, float]]:
    """From which to which cell a span is drawn, in each stretch that it is in."""
    end = span.started + span.seconds
    for each in stretches:
        if span.started <= each.end and end >= each.start:
            length = (each.end - each.start) or 1.0
            left = max(span.started, each.start) - each.start
            right = min(end, each.end) - each.start
            # (a moment at the very end of a stretch is drawn in its last cell)
            first = each.cell + min(each.cells * (left / length), each.cells - 1.0)
            yield first, max(each.cell + each.cells * (right / length), first)


def worse(one: str, other: str) -> str:
    """The worse of two outcomes."""
    return min(one, other, key=lambda each: _RANK.get(each, len(_RANK)))
