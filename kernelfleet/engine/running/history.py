"""What a frontend's arrow-up and its search get: the cells that are in memory.

An engine has no history database (all kernels of a user share one, and it blocks), and without it
IPython (9.18) answers ``tail`` and ``search`` with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import islice

#: ``(session, line, code)``, or ``(session, line, (code, text of the output or None))``.
Entry = tuple[int, int, str | tuple[str, str | None]]

#: How many cells ``tail`` gives where the frontend does not say.
DEFAULT_TAIL = 10


def tail(cells: Sequence[str], n: int | None) -> list[tuple[int, str]]:
    """The last ``n`` cells with their numbers, oldest first.

    Args:
        cells: The code of each, by its number; there is none of number 0.
        n: How many; None is ten.
    """
    numbered = [(number, code) for number, code in enumerate(cells) if code and number]
    wanted = DEFAULT_TAIL if n is None else max(0, n)
    return numbered[len(numbered) - wanted :] if wanted < len(numbered) else numbered


def search(
    cells: Sequence[str], pattern: str | None, n: int | None, *, unique: bool
) -> list[tuple[int, str]]:
    """The cells that match a pattern of ``*``, ``?`` and ``[...]``, oldest first.

    Args:
        cells: As for ``tail``.
        pattern: None matches all.
        n: The last so many of them; None is all.
        unique: Of cells that are alike only the last.
    """
    wanted = "*" if pattern is None else pattern.replace("[^", "[!")  # as SQLite's GLOB says it
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
    """The same as ``history_reply`` has them, with outputs if they are given."""
    if outputs is None:
        return [(session, number, code) for number, code in found]
    return [(session, number, (code, outputs.get(number))) for number, code in found]
