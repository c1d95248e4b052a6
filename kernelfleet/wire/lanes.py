"""What a message is about, which says what it may pass on its way.

A large message travels in parts, and what was sent after it waits for its last part, unless it has
nothing to do with it: a call for other engines, a look at the fleet, the answer to another
request. Whoever sends such a message marks it ``free``, and it is taken when it comes; its number
stays what it was (``sequence.py``).

Pure: no sockets, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable

from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.operations import OPERATIONS

#: What a message is about: engines on the way to the controller, requests on the way back. None is
#: about everything, and keeps its place.
Topics = frozenset[int] | None


def topics(header: JsonDict) -> Topics:
    """What a message from a client is about, or one to it."""
    kind = header.get("type")
    if kind == "request":
        name = header.get("operation")
        operation = OPERATIONS.get(name) if isinstance(name, str) else None
        if operation is None or operation.passes == "none":
            return None
        if operation.passes == "all":
            return frozenset()
        targets = header.get("targets")
        if isinstance(targets, list) and all(type(each) is int for each in targets):
            return frozenset(targets)
    elif kind == "ping":
        return frozenset()  # whatever passes one is behind no answer
    elif kind in ("reply", "event") and type(header.get("to")) is int:
        return frozenset((header["to"],))
    return None


def may_pass(about: Topics, waiting: Iterable[Topics]) -> bool:
    """Whether a message has nothing to do with any of those that wait."""
    return about is not None and all(
        other is not None and about.isdisjoint(other) for other in waiting
    )
