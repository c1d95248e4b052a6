"""Rows of whole fleets: start, first answers, memory, stop; for 4, 16, 64 and 256 engines.

Each trial is a fleet of a fresh process. ``start`` begins with everything imported and ends when
all engines have answered; ``cold`` begins with the interpreter's own start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.row import Row

#: How many engines -> the goals of each figure.
GOALS: dict[int, dict[str, dict[str, float]]] = {
    4: {
        "start": {"": 0.8, "ipyparallel": 0.12},
        "cold": {},
        "processes": {"": 6},
        "memory": {"": 120},
        "stop": {"": 0.8},
    },
    16: {"start": {"": 1.3}, "all": {"": 27}, "memory": {"": 350}, "stop": {}},
    64: {"start": {"": 3.5}, "all": {"": 110}, "memory": {"": 1200}, "stop": {"": 2.0}},
    256: {"start": {}, "all": {}, "memory": {}, "stop": {}},
}

_FIGURES = {
    "start": ("start {n} engines, ready for work", "s", "forking and setting up each engine"),
    "cold": ("the same with Python's start and imports", "s", "importing, then as above"),
    "all": ("`execute('a=5')` on all {n}", "ms", "`run_cell` {n} times on the cores there are"),
    "processes": ("processes of {n} engines", "", "engines, the fork server, the client"),
    "memory": ("memory (PSS) of {n} engines", "MB", "what each engine's Python makes its own"),
    "stop": ("stop {n} engines", "s", "each engine's own leave-taking"),
}

#: Sides whose fleets of this size would take minutes and gigabytes.
_POOLS = ("dask", "processes", "loky", "joblib")
TOO_MANY = {256: ("ipyparallel", "raw", *_POOLS), 64: _POOLS}


def _rows() -> list[Row]:
    rows = []
    for n, goals in GOALS.items():
        for figure, goal in goals.items():
            title, unit, limit = _FIGURES[figure]
            rows.append(
                Row(
                    f"{figure}-{n}",
                    title.format(n=n),
                    unit,
                    limit=limit.format(n=n),
                    goals=goal,
                    rounds=5 if n <= 4 else 3 if n <= 16 else 1,
                    without=TOO_MANY.get(n, ()),
                )
            )
    return rows


ROWS = _rows()


@dataclass(frozen=True)
class Trial:
    """One fleet's life; seconds, megabytes, processes."""

    start: float
    cold: float
    all: float | None
    processes: float
    memory: float
    stop: float


def sizes(rows: Sequence[Row]) -> list[int]:
    """The fleet sizes these rows are about."""
    return sorted({size_of(row) for row in rows})


def size_of(row: Row) -> int:
    """``start-16`` is about 16 engines."""
    return int(row.name.rpartition("-")[2])


def figure_of(row: Row, trial: Trial) -> float | None:
    """The row's figure, in its unit."""
    value: float | None = getattr(trial, row.name.rpartition("-")[0])
    return None if value is None else value / (1e-3 if row.unit == "ms" else 1.0)
