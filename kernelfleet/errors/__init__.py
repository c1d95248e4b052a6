"""Every exception of kernelfleet, and whose fault each one is.

::

    FleetError                  the base: ``except FleetError`` catches all but CompositeError
     +-- InvalidEngineID        the call names an engine that is not there     (a ValueError)
     +-- NoEnginesRegistered    the call says 'all', and there is no engine
     +-- NotAPendingResult      barrier() was given something else             (a TypeError)
     +-- InvalidDeferredID      the result was flushed, dropped or never existed
     +-- InvalidProperty        a property is not JSON                         (a ValueError)
     +-- SerializationError     a value cannot be pickled or unpickled         (a TypeError)
     +-- MessageTooLarge        the data of one call is more than the fleet takes   (a ValueError)
     +-- ValueGone              the object of a last expression is not on its engine any more
     +-- QueueFull              as many requests wait for an engine as may
     +-- UnsupportedOperation   this kind of kernel or result cannot do that
     +-- CallTimeout            the caller's own timeout ran out               (a TimeoutError)
     +-- RemoteError            the user's code on an engine: a class that does not exist here
     +-- EngineError            nobody's code: it never ran, or its engine went away
     |    +-- EngineDied        the engine's process ended
     |    +-- QueueCleared      an error or somebody cleared the engine's queue
     |    +-- FleetStopped      the fleet was stopped
     +-- ControllerError        the controller failed: a bug of kernelfleet
     |    +-- ControllerUnreachable   it does not answer, or is gone   (a ConnectionError)
     +-- FleetExists            starting: a fleet of this name runs already
     +-- FleetNotFound          connecting: no fleet of this name or address
     |    +-- SeveralFleets     connecting without a name: several are running
     +-- StartError             starting: an engine or the controller did not come up

    CompositeError              the user's code on one or more engines (an ExceptionGroup)
    InterruptUnheeded           a warning: engines go on after an interrupt

All of them can be pickled, and keep their attributes. If the user's code fails on one or more
engines, the call raises one CompositeError, whose members are the original exceptions. If something
is wrong with the call itself, one of the others is raised.

``kernelfleet.errors`` is their public address. The module ``errors.tree`` has all but
CompositeError; any process may import it. ``errors.composite`` has CompositeError; it needs more,
and is imported when CompositeError is first asked for.

Example:
    >>> from kernelfleet import errors
    >>> try:
    ...     raise errors.InvalidEngineID("no engine 7: the engines are 0-3")
    ... except errors.FleetError as error:
    ...     print(error)
    no engine 7: the engines are 0-3
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kernelfleet.errors.tree import CallTimeout as CallTimeout
from kernelfleet.errors.tree import ControllerError as ControllerError
from kernelfleet.errors.tree import ControllerUnreachable as ControllerUnreachable
from kernelfleet.errors.tree import EngineDied as EngineDied
from kernelfleet.errors.tree import EngineError as EngineError
from kernelfleet.errors.tree import FleetError as FleetError
from kernelfleet.errors.tree import FleetExists as FleetExists
from kernelfleet.errors.tree import FleetNotFound as FleetNotFound
from kernelfleet.errors.tree import FleetStopped as FleetStopped
from kernelfleet.errors.tree import InterruptUnheeded as InterruptUnheeded
from kernelfleet.errors.tree import InvalidDeferredID as InvalidDeferredID
from kernelfleet.errors.tree import InvalidEngineID as InvalidEngineID
from kernelfleet.errors.tree import InvalidProperty as InvalidProperty
from kernelfleet.errors.tree import MessageTooLarge as MessageTooLarge
from kernelfleet.errors.tree import NoEnginesRegistered as NoEnginesRegistered
from kernelfleet.errors.tree import NotAPendingResult as NotAPendingResult
from kernelfleet.errors.tree import QueueCleared as QueueCleared
from kernelfleet.errors.tree import QueueFull as QueueFull
from kernelfleet.errors.tree import RemoteError as RemoteError
from kernelfleet.errors.tree import SerializationError as SerializationError
from kernelfleet.errors.tree import SeveralFleets as SeveralFleets
from kernelfleet.errors.tree import StartError as StartError
from kernelfleet.errors.tree import UnsupportedOperation as UnsupportedOperation
from kernelfleet.errors.tree import ValueGone as ValueGone
from kernelfleet.errors.tree import error_text as error_text

if TYPE_CHECKING:
    from kernelfleet.errors.composite import CompositeError as CompositeError
    from kernelfleet.errors.composite import Failure as Failure
    from kernelfleet.errors.composite import restore_error as restore_error

__all__ = [
    "CallTimeout",
    "CompositeError",
    "ControllerError",
    "ControllerUnreachable",
    "EngineDied",
    "EngineError",
    "FleetError",
    "FleetExists",
    "FleetNotFound",
    "FleetStopped",
    "InterruptUnheeded",
    "InvalidDeferredID",
    "InvalidEngineID",
    "InvalidProperty",
    "MessageTooLarge",
    "NoEnginesRegistered",
    "NotAPendingResult",
    "QueueCleared",
    "QueueFull",
    "RemoteError",
    "SerializationError",
    "SeveralFleets",
    "StartError",
    "UnsupportedOperation",
    "ValueGone",
]

_IN_COMPOSITE = ("CompositeError", "Failure", "restore_error")


def __getattr__(name: str) -> Any:
    """Import a name of ``errors.composite`` when it is asked for (PEP 562)."""
    if name not in _IN_COMPOSITE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("kernelfleet.errors.composite"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_IN_COMPOSITE})
