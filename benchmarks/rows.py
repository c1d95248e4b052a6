"""All rows of the table, in its order."""

from __future__ import annotations

from benchmarks import data, mapping, requests, starting
from benchmarks.row import Row

#: Rows done on 4 engines that all sides keep running side by side.
ON_FOUR = [*requests.ROWS, *data.ROWS, *mapping.ROWS]
#: Figures of fleets that are started, looked at and stopped.
OF_FLEETS = starting.ROWS

_BY_NAME = {row.name: row for row in (*ON_FOUR, *OF_FLEETS, *map(data.push_of, data.PLOT_SIZES))}


def named(name: str) -> Row:
    """The row with this name."""
    return _BY_NAME[name]


def names() -> list[str]:
    """What ``--rows`` may ask for."""
    return [row.name for row in (*OF_FLEETS, *ON_FOUR)]
