"""What engines are told of themselves: their ids, and of how many they are one. Pure."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from kernelfleet.controller.lifecycle.ids import free_ids
from kernelfleet.wire.messages import JsonDict


@dataclass
class Sizes:
    """The size of the fleet, and the numbers that engines have on their node.

    Attributes:
        node: The name of the node.
        whole: How many engines there are on all nodes; None if there is no other.
    """

    node: str = field(default_factory=platform.node)
    whole: int | None = None
    _ranks: dict[int, int] = field(default_factory=dict)

    def identity(self, engine_id: int, here: Collection[int], size: int) -> JsonDict:
        """Which engine it is, of how many, and the same among those of its node.

        Its number there is the lowest that is free when it first comes, and stays.

        Args:
            engine_id: The engine.
            here: The ids of all engines of the node.
            size: How many of them there are to be.
        """
        self.number([engine_id], here)
        return {
            "engine_id": engine_id,
            "n_engines": self.whole or size,
            "node": self.node,
            "local_rank": self._ranks[engine_id],
            "local_size": size,
        }

    def number(self, new: Iterable[int], here: Collection[int]) -> None:
        """Give engines their numbers, in this order and not in that in which they come up.

        Those that are gone have none.

        Args:
            new: The engines; one that has a number keeps it.
            here: The ids of all engines of the node.
        """
        self._ranks = {each: rank for each, rank in self._ranks.items() if each in here}
        for engine_id in new:
            if engine_id not in self._ranks:
                self._ranks[engine_id] = free_ids(self._ranks.values(), 1)[0]

    def local_rank(self, engine_id: int) -> int:
        """The number of an engine that has one."""
        return self._ranks[engine_id]
