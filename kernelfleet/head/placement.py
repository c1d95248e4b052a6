"""Which engine goes to which node. Pure: no sockets, no clock."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import TypeVar

PlaceT = TypeVar("PlaceT", bound=Hashable)


class NoRoom(ValueError):
    """The places have fewer slots than engines are wanted."""


def choose(
    slots: Mapping[PlaceT, int], loads: Mapping[PlaceT, int], count: int, *, strict: bool
) -> list[PlaceT]:
    """Where so many more engines go: each to the place with the largest share of free slots.

    Args:
        slots: How many engines each place is meant for; one that offers none gets none.
        loads: How many engines it has.
        count: How many more there shall be.
        strict: Whether no place may have more engines than slots.

    Raises:
        NoRoom: there are not enough slots.
    """
    load = {place: loads.get(place, 0) for place, offered in slots.items() if offered > 0}
    chosen: list[PlaceT] = []
    for _ in range(count):
        open_to = [p for p in load if not strict or load[p] < slots[p]]
        if not open_to:
            free = len(chosen)
            raise NoRoom(f"{count} more engines, and there is room for {free}")
        place = min(open_to, key=lambda p: ((load[p] + 1) / slots[p], load[p]))
        load[place] += 1
        chosen.append(place)
    return chosen


def grouped(places: Collection[PlaceT]) -> dict[PlaceT, list[int]]:
    """The positions of each place, in the order in which places first come."""
    groups: dict[PlaceT, list[int]] = {}
    for index, place in enumerate(places):
        groups.setdefault(place, []).append(index)
    return groups


def unique_name(name: str, taken: Collection[str]) -> str:
    """The name, or one made of it that is not taken: several nodes may be on one machine."""
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    return unique
