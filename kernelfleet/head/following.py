"""Who follows the output of a request that others have sent, or that was sent without streaming.

A node tells a follower what was put out before it came, and then that this was all. From then on
the follower gets what comes from that node. A node's words about one request stay in order, so
nothing is shown twice and nothing is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kernelfleet.controller.requests import OnOutput
from kernelfleet.head.node import Node
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.outputs import read_pages


@dataclass(eq=False, slots=True)
class _Follower:
    client: str
    show: OnOutput
    #: The nodes that have told it all that was before.
    caught_up: set[Node] = field(default_factory=set)


class Followers:
    """The followers of one request, at most one per client."""

    def __init__(self) -> None:
        self._by_name: dict[str, _Follower] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, name: str, client: str, show: OnOutput) -> None:
        """A client follows from now on; if it did already, only under the new name."""
        for other, follower in list(self._by_name.items()):
            if follower.client == client:
                del self._by_name[other]
        self._by_name[name] = _Follower(client, show)

    def take(self, node: Node, header: JsonDict, pages: list[Any]) -> None:
        """A node tells a follower what was before it."""
        follower = self._by_name.get(header["follower"])
        if follower is None:
            return
        if header["event"] == "followed":
            follower.caught_up.add(node)
            return
        for published in read_pages(pages):
            follower.show(header["engine"], published.msg_type, published.content)

    def show(self, node: Node, engine_id: int, msg_type: str, content: Any) -> None:
        """Output has come from a node."""
        for follower in self._by_name.values():
            if node in follower.caught_up:
                follower.show(engine_id, msg_type, content)

    def left(self, node: Node) -> None:
        """Nothing more comes from a node."""
        for follower in self._by_name.values():
            follower.caught_up.discard(node)
