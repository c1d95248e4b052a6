"""The tables of engines: their columns, their units and their words, for text and for HTML.

``kernelfleet status``, ``%fleet status``, ``mec`` and ``mec.engines()`` all show these columns. A
value that is not known is a dash, and what no engine has (nothing runs, CPU was not measured) takes
no column.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelfleet.results import EngineInfo

#: What stands for a value that is not known.
UNKNOWN = "-"
#: Characters of what an engine runs that a table shows.
MAX_LABEL = 50


@dataclass(frozen=True)
class Column:
    """One column of the table of engines.

    Attributes:
        name: What stands above it, with the words that all tables use.
        cell: The text for one engine.
        optional: Whether the column is left out where no engine has a value for it.
    """

    name: str
    cell: Callable[[EngineInfo], str]
    optional: bool = False


@dataclass(frozen=True)
class Table:
    """The texts of a table, ready for whatever draws it."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def memory(size_bytes: float | None) -> str:
    """Bytes as people compare them: ``38 MiB``."""
    return UNKNOWN if size_bytes is None else f"{size_bytes / 2**20:,.0f} MiB"


def percent(value: float | None) -> str:
    """How much of one processor: ``97 %``; more than 100 % are several."""
    return UNKNOWN if value is None else f"{value:.0f} %"


def duration(seconds: float) -> str:
    """Seconds as people write them: ``9 s``, ``2 min 5 s``, ``3 h 20 min``, ``4 d 1 h``."""
    whole = max(0, int(seconds))
    for unit, size, below, smaller in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def since(moment: float | None) -> str:
    """How long ago a moment was, given in seconds since the epoch."""
    return UNKNOWN if moment is None else duration(time.time() - moment)


def cut(text: str, limit: int = MAX_LABEL) -> str:
    """A text of at most ``limit`` characters, its end replaced by an ellipsis."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _known(value: object) -> str:
    return UNKNOWN if value is None or value == "" else str(value)


#: What is shown of each engine, in this order.
COLUMNS: tuple[Column, ...] = (
    Column("engine", lambda engine: str(engine.id)),
    Column("state", lambda engine: engine.state),
    Column("pid", lambda engine: _known(engine.pid)),
    Column("queue", lambda engine: str(engine.queue)),
    Column("executed", lambda engine: str(engine.executed)),
    Column("memory", lambda engine: memory(engine.memory_bytes)),
    # Measuring it takes a moment, so that only those who want it have it measured.
    Column("CPU", lambda engine: percent(engine.cpu_percent), optional=True),
    Column("up", lambda engine: since(engine.started)),
    Column("result id", lambda engine: _known(engine.result_id), optional=True),
    Column("running", lambda engine: cut(_known(engine.running)), optional=True),
    Column("kernel", lambda engine: _known(engine.kernel_name)),
    Column("Python", lambda engine: _known(engine.python)),
    # Last, because it is long and whole: it is there to be copied.
    Column("executable", lambda engine: _known(engine.executable)),
)


def engine_table(engines: Iterable[EngineInfo]) -> Table:
    """The table of engines, one row each."""
    engines = list(engines)
    columns = []
    for column in COLUMNS:
        cells = [column.cell(engine) for engine in engines]
        if not column.optional or any(cell != UNKNOWN for cell in cells):
            columns.append((column.name, cells))
    names = tuple(name for name, _ in columns)
    return Table(names, list(zip(*(cells for _, cells in columns), strict=True)))


def as_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as lines of text, without blanks at their ends."""
    lines = [tuple(columns), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
