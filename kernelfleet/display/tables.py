"""The table of engines: its columns, its units and its words, for text and for HTML.

``kernelfleet status``, ``%fleet status``, ``mec`` and ``mec.engines()`` all show these columns. A
value that is not known is shown as a dash. A column that would be empty for every engine (nothing
runs, CPU use was not measured) is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

#: Shown in the place of a value that is not known.
UNKNOWN = "-"
#: A table shows at most so many characters of what an engine runs.
MAX_LABEL = 50


class EngineRow(Protocol):
    """One engine, as the table shows it; ``kernelfleet.EngineInfo`` describes each attribute."""

    @property
    def id(self) -> int: ...  # noqa: D102 (here and below: described by EngineInfo)
    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def node(self) -> str | None: ...  # noqa: D102
    @property
    def pid(self) -> int | None: ...  # noqa: D102
    @property
    def queue(self) -> int: ...  # noqa: D102
    @property
    def executed(self) -> int: ...  # noqa: D102
    @property
    def memory_bytes(self) -> int | None: ...  # noqa: D102
    @property
    def cpu_percent(self) -> float | None: ...  # noqa: D102
    @property
    def started(self) -> float | None: ...  # noqa: D102
    @property
    def result_id(self) -> str | None: ...  # noqa: D102
    @property
    def running(self) -> str | None: ...  # noqa: D102
    @property
    def kernel_name(self) -> str | None: ...  # noqa: D102
    @property
    def python(self) -> str | None: ...  # noqa: D102
    @property
    def executable(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True)
class Column:
    """One column of the table of engines.

    Attributes:
        name: The heading of the column.
        cell: Makes the text for one engine.
        optional: Whether the column is left out if no engine has a value for it.
    """

    name: str
    cell: Callable[[EngineRow], str]
    optional: bool = False


@dataclass(frozen=True)
class Table:
    """The texts of a table, which ``as_text`` and ``html.table`` draw."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def memory(size_bytes: float | None) -> str:
    """A size in bytes as text: ``38 MiB``."""
    return UNKNOWN if size_bytes is None else f"{size_bytes / 2**20:,.0f} MiB"


def percent(value: float | None) -> str:
    """The use of processors as text: ``97 %``; 100 % is one processor."""
    return UNKNOWN if value is None else f"{value:.0f} %"


def duration(seconds: float) -> str:
    """Seconds as text: ``9 s``, ``2 min 5 s``, ``3 h 20 min``, ``4 d 1 h``."""
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
    Column("node", lambda engine: _known(engine.node), optional=True),
    Column("pid", lambda engine: _known(engine.pid)),
    Column("queue", lambda engine: str(engine.queue)),
    Column("executed", lambda engine: str(engine.executed)),
    Column("memory", lambda engine: memory(engine.memory_bytes)),
    # Measuring takes 0.2 s, so it is measured only on request (``mec.engines(cpu=True)``).
    Column("CPU", lambda engine: percent(engine.cpu_percent), optional=True),
    Column("up", lambda engine: since(engine.started)),
    Column("result id", lambda engine: _known(engine.result_id), optional=True),
    Column("running", lambda engine: cut(_known(engine.running)), optional=True),
    Column("kernel", lambda engine: _known(engine.kernel_name)),
    Column("Python", lambda engine: _known(engine.python)),
    # The path is the last column because it is long. It is not cut, so that it can be copied.
    Column("executable", lambda engine: _known(engine.executable)),
)


def engine_table(engines: Iterable[EngineRow]) -> Table:
    """The table of engines, with one row for each engine."""
    engines = list(engines)
    columns = []
    for column in COLUMNS:
        cells = [column.cell(engine) for engine in engines]
        if not column.optional or any(cell != UNKNOWN for cell in cells):
            columns.append((column.name, cells))
    names = tuple(name for name, _ in columns)
    return Table(names, list(zip(*(cells for _, cells in columns), strict=True)))


def as_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as lines of text; no line ends with blanks."""
    lines = [tuple(columns), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
