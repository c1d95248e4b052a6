"""A soak: a fleet is used in every way, over and over, and nothing may have grown in the end.

The first round warms up: imports, caches, histories that fill, the heap of each process, which is
as full of holes as it will be only after the second. What there is after that is the start. After
every later round, once all is quiet, each process has the descriptors, threads and files of the
start, its memory is within 5 % of it, and neither memory nor objects rise with the number of
operations. What is only just ending has some seconds for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.gate import Gate
from tests.journeys.soak_measure import FORK_SERVER, Reading, SoakedFleet, Stock, grown, take
from tests.journeys.soak_phases import Phase, Soaked

#: The point at the end of each round.
ROUND = "a round"
#: How much larger than at the start a process may be.
TOLERANCE = 0.05
#: What may remain of an operation on average, and what comes and goes by itself.
BYTES_EACH, BYTES_ANYWAY = 150, 1024 * 1024
OBJECTS_EACH, OBJECTS_ANYWAY = 0.25, 500
#: A thread of an engine has a socket of its own from its first message on.
DESCRIPTORS_ANYWAY = 2
#: How long what is just ending may take: a killed client is forgotten within ten seconds.
QUIET_SECONDS = 20.0


@dataclass(frozen=True)
class Plan:
    """What to do with which fleet.

    Attributes:
        phases: What one round does, and how often.
        rounds: At least so many after the start; more while ``seconds`` are not over.
        each: Look after every phase, not only after every round.
    """

    name: str
    transport: str
    phases: Mapping[Phase, int]
    rounds: int = 3
    seconds: float = 0.0
    each: bool = False
    n_engines: int = 2
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Course:
    """What was seen: at each point (a phase, or the end of a round) one stock per round."""

    plan: Plan
    points: dict[str, list[Stock]] = field(default_factory=dict)
    #: How many operations had been done, in step with the stocks.
    operations: dict[str, list[int]] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, point: str, stock: Stock) -> None:
        """Note what was seen at a point; most details go, or we grow ourselves."""
        stocks = self.points.setdefault(point, [])
        if point != ROUND:
            _forget_types(stock)
        elif len(stocks) > 1:
            _forget_types(stocks[-1])
        stocks.append(stock)
        self.operations.setdefault(point, []).append(sum(self.done.values()))


def _forget_types(stock: Stock) -> None:
    for reading in stock.readings.values():
        reading.objects.clear()


def run(plan: Plan, folder: Path) -> Course:
    """Do it all."""
    course, began = Course(plan), time.monotonic()
    fleet = SoakedFleet(plan.transport, n=plan.n_engines, **plan.options)
    try:
        it = Soaked(fleet, fleet.client(), lambda: Gate(folder))
        _round(Course(plan), it)
        rounds = 0
        while rounds <= plan.rounds or time.monotonic() - began < plan.seconds:
            _round(course, it)
            rounds += 1
    finally:
        fleet.clean_up()
    course.seconds = time.monotonic() - began
    return course


def _round(course: Course, it: Soaked) -> None:
    for phase, n in course.plan.phases.items():
        began = time.monotonic()
        phase(it, n)
        name = phase.__name__
        course.done[name] = course.done.get(name, 0) + n
        print(f"{n} {name}: {time.monotonic() - began:.1f} s", end="; ", flush=True)
        if course.plan.each:
            course.add(name, _quiet_stock(course, it, name))
    course.add(ROUND, _quiet_stock(course, it, ROUND))
    print()


def _quiet_stock(course: Course, it: Soaked, point: str) -> Stock:
    """What there is; if that is more than at the start, what there is a little later."""
    deadline = time.monotonic() + QUIET_SECONDS
    stock = take(it.fleet, it.mec)
    start = course.points.get(point, [stock])[0]
    while (left := _leftovers(start, stock)) and time.monotonic() < deadline:
        print(f"not quiet yet after {point}: {left}")
        stock = take(it.fleet, it.mec)
    return stock


# -- judging ------------------------------------------------------------------------------------


def problems(course: Course) -> list[str]:
    """What has grown, in words; and what could have grown unseen."""
    found = []
    for point, stocks in course.points.items():
        where = f"{course.plan.name}, after {point}: "
        found += [where + each for each in _unseen(stocks[-1])]
        found += [where + each for each in _leftovers(stocks[0], stocks[-1])]
        found += [where + each for each in _drifts(stocks, course.operations[point])]
    return found


def _unseen(stock: Stock) -> list[str]:
    """The processes of which only the size is known, which says little of a small leak."""
    return [
        f"{name} has not looked at itself"
        for name, reading in stock.readings.items()
        if not reading.n_objects and name != FORK_SERVER
    ]


def _leftovers(start: Stock, end: Stock) -> list[str]:
    """What there is more of than at the start."""
    found = []
    if end.files > start.files:
        found.append(f"{end.files - start.files} files")
    for name, now in end.readings.items():
        before = start.readings.get(name)
        if before is None:
            found.append(f"a process: {name}")
        else:
            found += [f"{name}: {each}" for each in _more(before, now)]
    return found


def _more(before: Reading, now: Reading) -> list[str]:
    found = []
    if (more := now.threads - before.threads) > 0:
        found.append(f"{more} threads")
    if now.descriptors.total() - before.descriptors.total() > DESCRIPTORS_ANYWAY:
        found.append(f"descriptors: {grown(before.descriptors, now.descriptors)}")
    if (more := now.rss_bytes - before.rss_bytes) > TOLERANCE * before.rss_bytes:
        found.append(f"RSS {more / 1e6:+.1f} MB of {before.rss_bytes / 1e6:.1f}")
    return found


def _drifts(stocks: list[Stock], operations: list[int]) -> list[str]:
    """What rises with the number of operations; engines that are new each time cannot."""
    found = []
    total = operations[-1] - operations[0]
    for name in stocks[0].readings:
        readings = [stock.readings[name] for stock in stocks if name in stock.readings]
        if len(readings) < len(stocks):
            continue
        risen = rise(operations, [reading.used_bytes for reading in readings])
        if risen > BYTES_EACH * total + BYTES_ANYWAY:
            found.append(f"{name}: {risen / total:.0f} bytes for each of {total} operations")
        risen = rise(operations, [reading.n_objects for reading in readings])
        if risen > OBJECTS_EACH * total + OBJECTS_ANYWAY:
            types = grown(readings[0].objects, readings[-1].objects)
            found.append(f"{name}: {risen / total:.2f} objects for each operation: {types}")
    return found


def rise(xs: list[int], ys: list[int]) -> float:
    """By how much the straight line through the points rises, from the first to the last."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    if not spread:
        return 0.0
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    return slope * (xs[-1] - xs[0])


# -- telling ------------------------------------------------------------------------------------


def table(course: Course) -> str:
    """Growth from the first round to the last, as rows of a table of Markdown."""
    rounds = len(course.points[ROUND])
    lines = [
        f"{course.plan.name}: {rounds} rounds, {course.seconds:.0f} s; "
        + ", ".join(f"{n} {name}" for name, n in course.done.items()),
        "",
        "| after | process | RSS MB | RSS | USS | descriptors | threads | files | bytes each |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for point, stocks in course.points.items():
        lines += _rows(point, stocks, course.operations[point])
    return "\n".join(lines)


def _rows(point: str, stocks: list[Stock], operations: list[int]) -> list[str]:
    start, end = stocks[0], stocks[-1]
    total = max(1, operations[-1] - operations[0])
    rows = []
    for name, now in end.readings.items():
        before = start.readings[name]
        risen = rise(operations, [stock.readings[name].used_bytes for stock in stocks])
        cells = [
            point,
            name,
            f"{now.rss_bytes / 1e6:.1f}",
            f"{100 * (now.rss_bytes / before.rss_bytes - 1):+.1f} %",
            f"{(now.uss_bytes - before.uss_bytes) / 1e6:+.2f} MB",
            f"{now.descriptors.total() - before.descriptors.total():+d}",
            f"{now.threads - before.threads:+d}",
            f"{end.files - start.files:+d}",
            f"{risen / total:+.0f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows
