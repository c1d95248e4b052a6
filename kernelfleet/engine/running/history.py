"""Answers to history requests of frontends (arrow-up, search) from the cells in memory.

An engine has no history database: all kernels of a user would share one, and wait for its lock
(https://github.com/ipython/ipython/issues/12202). Without it, IPython 9.18 answers ``tail`` and
``search`` with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import islice

#: ``(session, line, code)``, or ``(session, line, (code, text of the output or None))``.
Entry = tuple[int, int, str | tuple[str, str | None]]

#: How many cells ``tail`` returns if the frontend names no number.
DEFAULT_TAIL = 10


def tail(cells: Sequence[str], n: int | None) -> list[tuple[int, str]]:
    """Return the last ``n`` cells with their numbers, oldest first.

    Args:
        cells: The code of each cell; its index is its number. Index 0 is unused.
        n: How many; None means ten.
    """
    numbered = [(number, code) for number, code in enumerate(cells) if code and number]
    wanted = DEFAULT_TAIL if n is None else max(0, n)
    return numbered[len(numbered) - wanted :] if wanted < len(numbered) else numbered


def search(
    cells: Sequence[str], pattern: str | None, n: int | None, *, unique: bool
) -> list[tuple[int, str]]:
    """Return the cells that match a pattern of ``*``, ``?`` and ``[...]``, oldest first.

    Args:
        cells: As for ``tail``.
        pattern: None matches all cells.
        n: Return only the last ``n`` of them; None returns all.
        unique: Of equal cells, return only the last.
    """
    wanted = "*" if pattern is None else pattern.replace("[^", "[!")  # SQLite's GLOB negates with ^
    seen: set[str] = set()
    found = (
        (number, code)
        for number, code in reversed(list(enumerate(cells)))
        if code
        and number
        and fnmatchcase(code, wanted)
        and not (unique and (code in seen or seen.add(code)))  # type: ignore[func-returns-value]
    )
    return list(islice(found, None if n is None else max(0, n)))[::-1]


def entries(
    found: Sequence[tuple[int, str]], session: int, outputs: Mapping[int, str] | None
) -> list[Entry]:
    """Return the cells as a ``history_reply`` has them, with their outputs if those are given."""
    if outputs is None:
        return [(session, number, code) for number, code in found]
    return [(session, number, (code, outputs.get(number))) for number, code in found]
