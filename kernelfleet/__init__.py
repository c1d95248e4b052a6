"""A fleet of IPython kernels that one person steers as if it were one interpreter.

This module only names things: each public name is imported when it is first asked for (PEP 562),
so that an engine, which imports ``kernelfleet.engine`` and with it this file, does not pay for
the client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfleet import client as client
    from kernelfleet.client.client import MultiEngineClient as MultiEngineClient
    from kernelfleet.client.fleet import Fleet as Fleet
    from kernelfleet.client.pending import PendingResult as PendingResult
    from kernelfleet.client.waiting import as_completed as as_completed
    from kernelfleet.client.waiting import wait as wait
    from kernelfleet.errors import CallTimeout as CallTimeout
    from kernelfleet.errors import CompositeError as CompositeError
    from kernelfleet.errors import ControllerError as ControllerError
    from kernelfleet.errors import ControllerUnreachable as ControllerUnreachable
    from kernelfleet.errors import EngineDied as EngineDied
    from kernelfleet.errors import EngineError as EngineError
    from kernelfleet.errors import FleetError as FleetError
    from kernelfleet.errors import FleetExists as FleetExists
    from kernelfleet.errors import FleetNotFound as FleetNotFound
    from kernelfleet.errors import FleetStopped as FleetStopped
    from kernelfleet.errors import InvalidDeferredID as InvalidDeferredID
    from kernelfleet.errors import InvalidEngineID as InvalidEngineID
    from kernelfleet.errors import InvalidProperty as InvalidProperty
    from kernelfleet.errors import MessageTooLarge as MessageTooLarge
    from kernelfleet.errors import NoEnginesRegistered as NoEnginesRegistered
    from kernelfleet.errors import NotAPendingResult as NotAPendingResult
    from kernelfleet.errors import QueueCleared as QueueCleared
    from kernelfleet.errors import QueueFull as QueueFull
    from kernelfleet.errors import RemoteError as RemoteError
    from kernelfleet.errors import SerializationError as SerializationError
    from kernelfleet.errors import SeveralFleets as SeveralFleets
    from kernelfleet.errors import StartError as StartError
    from kernelfleet.errors import UnsupportedOperation as UnsupportedOperation
    from kernelfleet.errors import ValueGone as ValueGone
    from kernelfleet.here import ThisEngine as ThisEngine
    from kernelfleet.here import this_engine as this_engine
    from kernelfleet.results import EngineInfo as EngineInfo
    from kernelfleet.results import EngineList as EngineList
    from kernelfleet.results import ExecutionResult as ExecutionResult
    from kernelfleet.results import ResultList as ResultList

__version__ = "0.1.0"

__all__ = [
    "CallTimeout",
    "CompositeError",
    "ControllerError",
    "ControllerUnreachable",
    "EngineDied",
    "EngineError",
    "EngineInfo",
    "EngineList",
    "ExecutionResult",
    "Fleet",
    "FleetError",
    "FleetExists",
    "FleetNotFound",
    "FleetStopped",
    "InvalidDeferredID",
    "InvalidEngineID",
    "InvalidProperty",
    "MessageTooLarge",
    "MultiEngineClient",
    "NoEnginesRegistered",
    "NotAPendingResult",
    "PendingResult",
    "QueueCleared",
    "QueueFull",
    "RemoteError",
    "ResultList",
    "SerializationError",
    "SeveralFleets",
    "StartError",
    "ThisEngine",
    "UnsupportedOperation",
    "ValueGone",
    "__version__",
    "as_completed",
    "client",
    "this_engine",
    "wait",
]

_MODULE_OF = {  # what is not here is an error
    "MultiEngineClient": "kernelfleet.client.client",
    "Fleet": "kernelfleet.client.fleet",
    "PendingResult": "kernelfleet.client.pending",
    "as_completed": "kernelfleet.client.waiting",
    "wait": "kernelfleet.client.waiting",
    "ThisEngine": "kernelfleet.here",
    "this_engine": "kernelfleet.here",
    "ResultList": "kernelfleet.results",
    "ExecutionResult": "kernelfleet.results",
    "EngineInfo": "kernelfleet.results",
    "EngineList": "kernelfleet.results",
}


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext kernelfleet``."""
    from kernelfleet.notebook import extension

    extension.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext kernelfleet``."""
    from kernelfleet.notebook import extension

    extension.unload(shell)


def __getattr__(name: str) -> Any:
    """Import a public name on its first use and keep it."""
    if name not in __all__:
        raise AttributeError(f"module 'kernelfleet' has no attribute {name!r}")
    if name == "client":
        return import_module("kernelfleet.client")
    value = getattr(import_module(_MODULE_OF.get(name, "kernelfleet.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    special = {name for name in globals() if name.startswith("__")}
    return sorted({*special, *__all__})
