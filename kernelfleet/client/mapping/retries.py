"""When an item that has failed is run again, and where. Pure: no sockets, no clock.

An item is *resent* when its own function has failed and the user allows another attempt: any
engine may have it. It goes *elsewhere* when its engine died or gave it back: then it waits for one
of the engines that are left.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import dataclass
from enum import Enum

from kernelfleet.errors.tree import (
    EngineDied,
    EngineError,
    RemoteError,
    SerializationError,
    UnsupportedOperation,
)


class Cause(Enum):
    """Why an item has no value."""

    #: Its function raised, or took too long.
    ERROR = "error"
    #: The engine died while it ran the item.
    DEATH = "death"
    #: The engine died, or was left by the item, before it began with it.
    NOT_BEGUN = "not begun"
    #: It must not, or cannot, be run again: it was cancelled or interrupted, or cannot travel.
    FINAL = "final"


class Verdict(Enum):
    """What is done with the item."""

    FAIL = "fail"
    RESEND = "resend"
    ELSEWHERE = "elsewhere"


def cause_of(error: Exception, *, begun: bool = True) -> Cause:
    """What an item's exception says about why it has no value.

    Args:
        error: The exception.
        begun: Whether the engine had begun with the item.
    """
    if isinstance(error, EngineDied):
        return Cause.DEATH if begun else Cause.NOT_BEGUN
    if isinstance(error, EngineError | CancelledError | SerializationError | UnsupportedOperation):
        return Cause.FINAL
    if isinstance(error, RemoteError) and error.ename == "KeyboardInterrupt":
        return Cause.FINAL  # somebody wants it to stop; a time limit that is up is a TimeoutError
    return Cause.ERROR


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an item may be run again.

    Attributes:
        after_deaths: How many engines may die with the item before it fails.
        after_errors: How often the item's function may fail before the item fails.
    """

    after_deaths: int = 1
    after_errors: int = 0

    def after(self, cause: Cause, *, deaths: int, errors: int) -> Verdict:
        """What is done with an item.

        Args:
            cause: Why it has no value this time.
            deaths: How many engines have died while they ran it, this time included.
            errors: How often its function has failed, this time included.
        """
        if cause is Cause.NOT_BEGUN or (cause is Cause.DEATH and deaths <= self.after_deaths):
            return Verdict.ELSEWHERE
        if cause is Cause.ERROR and errors <= self.after_errors:
            return Verdict.RESEND
        return Verdict.FAIL
