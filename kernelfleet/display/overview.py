"""A fleet on one page of text: an engine per line, what it does, and what it did a moment ago.

``kernelfleet top`` and ``%fleet top`` show it again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kernelfleet.display import tables
from kernelfleet.display.lanes import SpanLike, picture
from kernelfleet.display.layout import printable
from kernelfleet.display.timeline import LETTERS, lane_text, legend

#: The lane of recent work has at least and at most so many cells.
MIN_LANE, MAX_LANE = 10, 60
#: A narrower page has no column of executed commands.
WIDE = 100
#: So many calls are named below the engines.
MAX_NAMED = 6
#: Before fewer engines are shown than this, no calls are named.
MIN_ENGINES = 4


class EngineAtWork(tables.EngineRow, Protocol):
    """One engine, as a page shows it; ``kernelfleet.EngineInfo`` describes each attribute."""

    @property
    def running_since(self) -> float | None: ...  # noqa: D102 (described by EngineInfo)


class Moment(Protocol):
    """A fleet at one moment; ``kernelfleet.client.watching.Look`` describes each attribute."""

    @property
    def engines(self) -> Sequence[EngineAtWork]: ...  # noqa: D102
    @property
    def timeline(self) -> Sequence[SpanLike]: ...  # noqa: D102
    @property
    def start(self) -> float: ...  # noqa: D102
    @property
    def now(self) -> float: ...  # noqa: D102


def page(
    head: str, look: Moment, width: int, height: int | None = None, first: int = 0
) -> list[str]:
    """The lines of a page.

    Args:
        head: What the fleet is called, and since when it runs.
        look: The fleet.
        width: How many characters a line has.
        height: How many lines there are at most; None shows everything.
        first: The engine that is shown first, by its position.
    """
    engines = look.engines
    named = min(MAX_NAMED, len({span.call for span in look.timeline}))
    if height is not None:
        named = max(0, min(named, height - 3 - MIN_ENGINES))
    room = len(engines) if height is None else max(1, height - 3 - named)
    first = max(0, min(first, len(engines) - room))
    shown = engines[first : first + room]
    part = ""
    if len(shown) < len(engines):
        part = f"engines {shown[0].id} to {shown[-1].id} of {len(engines)}"
    cells = _cells(shown, width)
    lane = max(MIN_LANE, min(MAX_LANE, (width - len(cells[0]) - 4) // 2))
    ids = [engine.id for engine in engines]
    drawn = picture(look.timeline, ids, lane, window=(look.start, look.now))
    lanes = [lane_text(each, drawn)[:lane] for each in drawn.lanes[first : first + room]]
    heads = [f"last {tables.duration(look.now - look.start)}".ljust(lane), *lanes]
    running = ["running", *(_running(engine, look.now) for engine in shown)]
    rows = [f"{a}  {b}  {c}" for a, b, c in zip(cells, heads, running, strict=True)]
    below = [f"{letter}  {line}" for letter, line in zip(LETTERS, legend(drawn), strict=False)]
    lines = [f"{head}: {summary(engines)}", part, *rows, *below[:named]]
    return [printable(line)[:width].rstrip() for line in lines]


def summary(engines: Sequence[EngineAtWork]) -> str:
    """All engines in a line: how many, how busy, how much memory."""
    states = [engine.state for engine in engines]
    dead = states.count("dead")
    alive = len(engines) - dead
    parts = ["1 engine" if alive == 1 else f"{alive} engines", f"{states.count('busy')} busy"]
    parts.append(f"{dead} dead" if dead else "")
    parts.append(f"{sum(engine.queue for engine in engines)} waiting")
    parts.append(tables.memory(sum(engine.memory_bytes or 0 for engine in engines)))
    used = [engine.cpu_percent for engine in engines if engine.cpu_percent is not None]
    parts.append(f"CPU {tables.percent(sum(used))}" if used else "")
    return ", ".join(filter(None, parts))


def _cells(engines: Sequence[EngineAtWork], width: int) -> list[str]:
    """The left part of the table, its heading first."""
    rows: list[tuple[str, ...]] = [("engine", "state", "CPU", "memory", "queue", "executed")]
    rows += [
        (
            str(engine.id), engine.state, tables.percent(engine.cpu_percent),
            tables.memory(engine.memory_bytes), str(engine.queue), str(engine.executed),
        )
        for engine in engines
    ]  # fmt: skip
    if width < WIDE:
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]


def _running(engine: EngineAtWork, now: float) -> str:
    if engine.running is None:
        return ""
    since = engine.running_since
    elapsed = "" if since is None else f"{tables.duration(now - since)}  "
    return elapsed + engine.running
