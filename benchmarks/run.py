"""The sides take turns: every round has each side do each row once, in changing order."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks import data, machine, starting
from benchmarks.driver import Driver
from benchmarks.row import Row
from benchmarks.rows import named

Say = Callable[[str], None]

#: Sides that have cells and arrays, for the plots.
PLOTTED = ("kernelfleet", "ipyparallel")
PLOT_ENGINES = [1, 2, 4, 8, 16, 32, 64]


@dataclass
class Figures:
    """What a side has shown in a row: a figure per round, and CPU seconds per call."""

    per_round: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)

    @property
    def median(self) -> float:
        return statistics.median(self.per_round)

    @property
    def cpu(self) -> float | None:
        """Processor time per call, seconds."""
        return statistics.median(self.cpu_seconds) if self.cpu_seconds else None


#: Row name -> side -> figures.
Table = dict[str, dict[str, Figures]]


class UnequalResultsError(Exception):
    """Two sides have not done the same work."""


@contextlib.contextmanager
def drivers(sides: Sequence[str], n: int, say: Say) -> Iterator[dict[str, Driver]]:
    """All sides, each with ``n`` engines, side by side."""
    started: dict[str, Driver] = {}
    try:
        for side in sides:
            started[side] = Driver(side)
            started[side].load()
            say(f"{side}: {n} engines in {started[side].start(n):.2f} s")
        yield started
    finally:
        for driver in started.values():
            driver.close()


def on_four(rows: Sequence[Row], sides: Sequence[str], rounds: int, say: Say) -> Table:
    """The rows that are done on 4 running engines."""
    table: Table = {row.name: {} for row in rows}
    with drivers(sides, 4, say) as running:
        for round_ in range(rounds):
            for row in rows:
                if round_ < row.rounds:
                    _one_round(row, _turn(list(running.values()), round_), table[row.name])
            say(f"round {round_ + 1} of {rounds}: {_progress(table)}")
    for row in rows:
        _check_equality(row, table[row.name])
    return table


def _turn(drivers: list[Driver], round_: int) -> list[Driver]:
    """Nobody is always first."""
    first = round_ % len(drivers)
    return drivers[first:] + drivers[:first]


def _one_round(row: Row, drivers: list[Driver], results: dict[str, Figures]) -> None:
    for driver in drivers:
        if driver.side in row.without:
            continue
        measured = driver.measure(row, row.calls)
        if measured is None:
            continue
        figures = results.setdefault(driver.side, Figures())
        seconds = statistics.median(measured.seconds)
        figures.per_round.append(row.figure(driver.side, seconds))
        figures.cpu_seconds.append(measured.cpu_seconds)
        figures.digests.add(measured.digest)


def _check_equality(row: Row, results: dict[str, Figures]) -> None:
    compared = {side: each.digests for side, each in results.items() if side != "raw"}
    if len(set[str]().union(*compared.values())) > 1:
        counts = Counter(digest for digests in compared.values() for digest in digests)
        raise UnequalResultsError(f"{row.name}: {compared}, {counts}")


def _progress(table: Table) -> str:
    parts = []
    for name, results in table.items():
        figures = ", ".join(f"{side} {each.per_round[-1]:.4g}" for side, each in results.items())
        parts.append(f"{name}: {figures}")
    return "; ".join(parts)


def of_fleets(rows: Sequence[Row], sides: Sequence[str], rounds: int, say: Say) -> Table:
    """The rows of whole fleets, smallest first."""
    table: Table = {row.name: {} for row in rows}
    for n in starting.sizes(rows):
        chosen = [row for row in rows if starting.size_of(row) == n]
        for round_ in range(min(rounds, chosen[0].rounds)):
            for side in sides:
                if side not in chosen[0].without:
                    trial = _start_and_stop(side, n, calls=20)
                    _note(chosen, side, trial, table)
                    say(f"{n} engines, round {round_ + 1}: {side} {trial}")
    return table


def _start_and_stop(side: str, n: int, calls: int) -> starting.Trial:
    """Start a fleet in a fresh process, have it work, and stop it."""
    driver = Driver(side)
    try:
        driver.load()
        start = driver.start(n)
        cold = time.perf_counter() - driver.spawned
        measured = driver.measure(named("execute-4"), calls)
        processes, memory = machine.processes_and_memory(driver.pid)
        stop = driver.stop()
    finally:
        driver.close()
    everything = None if measured is None else sorted(measured.seconds)[len(measured.seconds) // 2]
    return starting.Trial(start, cold, everything, processes, memory, stop)


def _note(rows: list[Row], side: str, trial: starting.Trial, table: Table) -> None:
    for row in rows:
        figure = starting.figure_of(row, trial)
        if figure is not None:
            table[row.name].setdefault(side, Figures()).per_round.append(figure)


#: Side -> points of (x, y).
Curves = dict[str, list[tuple[float, float]]]


def curves_of_fleets(rounds: int, engines: Sequence[int], say: Say) -> tuple[Curves, Curves]:
    """Start (seconds) and execute on all (ms), against the number of engines."""
    start: Curves = {side: [] for side in PLOTTED}
    latency: Curves = {side: [] for side in PLOTTED}
    for n in engines:
        for side in PLOTTED:
            trials = [_start_and_stop(side, n, calls=20) for _ in range(rounds if n < 16 else 1)]
            start[side].append((n, statistics.median(each.start for each in trials)))
            ms = statistics.median((each.all or 0.0) * 1e3 for each in trials)
            latency[side].append((n, ms))
            say(f"{n} engines: {side} starts in {start[side][-1][1]:.2f} s, answers in {ms:.1f} ms")
    return start, latency


def curves_of_push(rounds: int, sizes: Sequence[int], say: Say) -> Curves:
    """Seconds of a push to 4, against its size."""
    curves: Curves = {side: [] for side in PLOTTED}
    with drivers(PLOTTED, 4, say) as running:
        for size in sizes:
            row = data.push_of(size)
            results: dict[str, Figures] = {}
            for round_ in range(rounds if size < 100_000_000 else 1):
                _one_round(row, _turn(list(running.values()), round_), results)
            _check_equality(row, results)
            for side, figures in results.items():
                curves[side].append((size, figures.median))
            say(f"push of {size} bytes: { {side: each[-1][1] for side, each in curves.items()} }")
    return curves
