"""The states of an engine, and which may follow which.

::

    starting --> up --> leaving (scaled away: finishes its queue)
       ^         |         |
       |         v         v
       +------ stopping, dead

The names are what ``mec.engines()`` shows, so they travel as they are.
"""

from __future__ import annotations

from enum import StrEnum


class EngineState(StrEnum):
    """Where an engine is in its life."""

    STARTING = "starting"
    #: It takes work: "all engines" includes it.
    UP = "up"
    #: The fleet is being scaled down: it does what it has been given and gets nothing new.
    LEAVING = "leaving"
    STOPPING = "stopping"
    #: Its process has ended unasked; its id stays reserved, and a restart brings it back.
    DEAD = "dead"


_ENDS = frozenset({EngineState.STOPPING, EngineState.DEAD})

#: The states that may follow each state.
MAY_FOLLOW: dict[EngineState, frozenset[EngineState]] = {
    # Starting twice: a restart has ended the old process before the new one is there.
    EngineState.STARTING: _ENDS | {EngineState.STARTING, EngineState.UP},
    EngineState.UP: _ENDS | {EngineState.LEAVING},
    EngineState.LEAVING: _ENDS,
    EngineState.STOPPING: _ENDS | {EngineState.STARTING},
    EngineState.DEAD: _ENDS | {EngineState.STARTING},
}


class IllegalStateChange(RuntimeError):
    """A bug of the controller: an engine cannot go from its state to that one."""


def check_change(before: EngineState, after: EngineState) -> None:
    """Refuse a change that makes no sense.

    Raises:
        IllegalStateChange: ``after`` may not follow ``before``.
    """
    if after not in MAY_FOLLOW[before]:
        raise IllegalStateChange(f"an engine that is {before} cannot become {after}")
