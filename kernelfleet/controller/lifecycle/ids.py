"""Which ids new engines get. Pure."""

from __future__ import annotations

from collections.abc import Collection


def free_ids(taken: Collection[int], count: int) -> list[int]:
    """The lowest ids that are not taken."""
    ids: list[int] = []
    candidate = 0
    while len(ids) < count:
        if candidate not in taken:
            ids.append(candidate)
        candidate += 1
    return ids
