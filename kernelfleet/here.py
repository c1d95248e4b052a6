"""Tells a function on which engine it runs.

A function of a module sees the globals of its module and not the variables of the engine. With
``this_engine()`` it finds the engine's id and variables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ThisEngine:
    """The engine in whose process the code runs.

    Attributes:
        id: The id of the engine, as in ``mec.get_ids()``.
        n_engines: How many engines the fleet has.
        node: The name of its machine, or of its node of a cluster.
        local_rank: Its number among the engines of that node, from 0 on.
        local_size: How many engines that node has.
        namespace: The variables of the engine: those that were pushed, and those that cells have
            made. It is the engine's own dict, so a change takes effect there.
    """

    id: int
    n_engines: int
    namespace: dict[str, Any] = field(repr=False)
    node: str = field(default="", repr=False)
    local_rank: int = field(default=0, repr=False)
    local_size: int = field(default=1, repr=False)


class _Here:
    engine: ThisEngine | None = None


def this_engine() -> ThisEngine | None:
    """The engine that runs this code.

    A function of a module sees the globals of its module, as everywhere in Python. It finds here
    what was pushed to the engine.

    Returns:
        The engine's id, the size of the fleet and the engine's variables; None if this process is
        no engine (it is a client, or a test).

    Example:
        >>> def device():
        ...     engine = this_engine()
        ...     return f"cuda:{engine.id}" if engine else "cpu"
        >>> device()  # in a process that is no engine
        'cpu'
    """
    return _Here.engine


def tell(engine_id: int, n_engines: int, namespace: dict[str, Any], **place: Any) -> None:
    """Set which engine this process is, and its place; the engine calls it when it is told."""
    _Here.engine = ThisEngine(engine_id, n_engines, namespace, **place)
