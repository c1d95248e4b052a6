"""Exceptions on their way: with what caused them, which pickle leaves behind.

``with_causes`` gives what to pack in an exception's place; unpacking that gives the exception
back, its ``__cause__`` set. Each cause is pickled by itself, so that one that cannot travel, or has
no class where it arrives, is stood in for by a ``RemoteError`` and spoils nothing else.
"""

from __future__ import annotations

from typing import Any

#: Causes of causes that travel; nobody reads a longer chain.
MAX_CAUSES = 20


def with_causes(error: Exception) -> object:
    """What to pack in the place of ``error`` so that its causes come along."""
    causes = _causes_of(error)
    return _Chain(error, causes) if causes else error


def _causes_of(error: BaseException) -> list[BaseException]:
    """The explicit causes (``raise ... from``), nearest first; a circle is cut."""
    causes: list[BaseException] = []
    known = {id(error)}
    cause = error.__cause__
    while cause is not None and id(cause) not in known and len(causes) < MAX_CAUSES:
        causes.append(cause)
        known.add(id(cause))
        cause = cause.__cause__
    return causes


class _Chain:
    """Unpickles to an exception with its causes."""

    def __init__(self, error: Exception, causes: list[BaseException]) -> None:
        self._error, self._causes = error, causes

    def __reduce__(self) -> tuple[Any, ...]:
        from kernelfleet.composite import freeze_error

        return _rejoin, (self._error, [freeze_error(cause) for cause in self._causes])


def _rejoin(error: Exception, frozen: list[Any]) -> Exception:
    from kernelfleet.composite import thaw_error

    at: BaseException = error
    for each in frozen:
        at.__cause__ = thaw_error(each)
        at = at.__cause__
    return error
