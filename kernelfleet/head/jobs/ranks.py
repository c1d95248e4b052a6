"""Ranks of torch and JAX on many nodes: which number each has where it is, and where they all meet.

They meet on the node of rank 0: at its address, and at ports that this node has found free.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from ipaddress import ip_address

from kernelfleet.controller.lifecycle.sizes import Sizes
from kernelfleet.controller.ranks import MeetingPoint, rank_variables
from kernelfleet.errors.tree import StartError
from kernelfleet.head.node import Node
from kernelfleet.wire.messages import JsonDict


class RanksOnNodes:
    """The ranks of a fleet on a cluster.

    Attributes:
        size: How many there are: those that were started first.
        variables: What each is told, by engine id.
    """

    def __init__(self) -> None:
        self.size = 0
        self.variables: dict[int, dict[str, str]] = {}
        self._meeting: MeetingPoint | None = None
        self._node: Node | None = None
        self._numbers: dict[Node, Sizes] = {}
        self._arranging = asyncio.Lock()

    def renew(self) -> None:
        """All engines are about to start: they meet at ports that none of them has used."""
        self._meeting = None

    async def arrange(
        self, places: Mapping[int, Node], added: Callable[[int], Mapping[str, str | None]]
    ) -> None:
        """Find out what all are to be told, and tell the nodes where it has changed.

        Args:
            places: The node of each engine, by ascending id.
            added: What the user adds to the environment of an engine.

        Raises:
            StartError: rank 0 cannot be reached, or its node is lost.
        """
        async with self._arranging:
            self.size = self.size or len(places)
            node = places.get(0, self._node)
            assert node is not None  # a fleet starts with engine 0
            if self._meeting is None or node is not self._node:
                self._meeting, self._node = await _meeting_on(node, places), node
            self._number(places)
            local_sizes = Counter(places.values())
            changed: dict[Node, list[JsonDict]] = {}
            for rank, place in places.items():
                local_rank = self._numbers[place].local_rank(rank)
                local_size = local_sizes[place]
                told = rank_variables(rank, self.size, local_rank, local_size, self._meeting)
                if self.variables.get(rank) != told:
                    self.variables[rank] = told
                    env = {**told, **added(rank)}
                    changed.setdefault(place, []).append({"id": rank, "env": env})
            await asyncio.gather(*(_tell(*each) for each in changed.items()))

    def _number(self, places: Mapping[int, Node]) -> None:
        """Number the engines of each node as the node does (``local_rank``)."""
        self._numbers = {node: self._numbers.get(node) or Sizes() for node in places.values()}
        for node, numbers in self._numbers.items():
            here = [rank for rank, place in places.items() if place is node]
            numbers.number(here, here)


async def _tell(node: Node, engines: list[JsonDict]) -> None:
    try:
        await node.ask("set_variables", engines=engines)
    except ConnectionError as error:
        raise StartError(str(error)) from None


async def _meeting_on(node: Node, places: Mapping[int, Node]) -> MeetingPoint:
    far = next((each for each in places.values() if not _is_loopback(each.address)), None)
    if _is_loopback(node.address) and far is not None:
        raise StartError(
            f"ranks: the others meet on the node of rank 0, {node.name}, which is known as "
            f"{node.address}: the node {far.name} ({far.address}) cannot reach it there. Give the "
            "cluster an address of that machine that all others reach"
        )
    try:
        reply, _ = await node.ask("free_ports")
    except ConnectionError as error:
        raise StartError(f"rank 0: {error}") from None
    port, jax_port = reply["value"]
    return MeetingPoint(node.address, port, jax_port)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:  # a name
        return address == "localhost"
