"""The little language of targets, in magics and on the command line.

``all``, ``0``, ``0,2``, ``1:4``, ``::2``, ``-1:``.

Pure. Nothing is evaluated: whatever is no number, no slice and not ``all`` is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"-?\d+")
_SLICE = re.compile(r"(-?\d+)?:(-?\d+)?(?::(-?\d+)?)?")

GRAMMAR = "targets are all, 0, 0,2, 1:4, ::2, -1: and the like"


def parse_targets(text: str, ids: Sequence[int]) -> str | int | slice | list[int]:
    """What ``--targets`` says, as a client takes it.

    Args:
        text: What stands on the line.
        ids: The registered engines, for ``-1`` and for slices between commas.

    Raises:
        ValueError: it is none of what the grammar knows.
    """
    parts = [part.strip() for part in text.strip().removesuffix(",").split(",")]
    if len(parts) == 1:
        return _part(parts[0], text)
    chosen: list[int] = []
    for part in parts:
        target = _part(part, text)
        if isinstance(target, str):
            chosen.extend(ids)
        elif isinstance(target, slice):
            chosen.extend(sorted(ids)[target])
        else:
            chosen.append(target)
    return chosen


def _part(part: str, text: str) -> str | int | slice:
    if part == "all":
        return "all"
    if _NUMBER.fullmatch(part):
        number = int(part)
        if number >= 0:
            return number
        return slice(number, number + 1 or None)
    match = _SLICE.fullmatch(part)
    if match is None or match.group(3) == "0":
        raise ValueError(f"{text!r}: {GRAMMAR}")
    return slice(*(int(each) if each else None for each in match.groups()))


def as_text(targets: object) -> str:
    """A client's targets as one would write them: ``all``, ``[0, 2]``, ``1:4``."""
    if not isinstance(targets, slice):
        return str(targets)
    parts = [targets.start, targets.stop] + ([targets.step] if targets.step is not None else [])
    return ":".join("" if part is None else str(part) for part in parts)
