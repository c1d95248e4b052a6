"""Which engine this process is, for functions of modules, which do not see its variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ThisEngine:
    """The engine in whose process the code runs.

    Attributes:
        id: Its id, as in ``mec.get_ids()``.
        n_engines: How many engines the fleet has.
        namespace: Its variables: what was pushed, and what cells have made.
    """

    id: int
    n_engines: int
    namespace: dict[str, Any] = field(repr=False)


class _Here:
    engine: ThisEngine | None = None


def this_engine() -> ThisEngine | None:
    """The engine that runs this code, or None where there is none (in a client, in a test).

    A function of a module sees the module's globals, as everywhere in Python; what was pushed to
    an engine it finds here.

    Returns:
        The engine's id, the size of the fleet, and the engine's variables.

    Example::

        # in a module of yours
        from kernelfleet import this_engine

        def device():
            engine = this_engine()
            return f"cuda:{engine.id}" if engine else "cpu"
    """
    return _Here.engine


def tell(engine_id: int, n_engines: int, namespace: dict[str, Any]) -> None:
    """Say which engine this process is."""
    _Here.engine = ThisEngine(engine_id, n_engines, namespace)
