"""A fleet of IPython kernels that one person steers as if it were one interpreter.

This module only names things: each public name is imported when it is first asked for (PEP 562),
so that an engine, which imports ``kernelfleet.engine`` and with it this file, does not pay for
the client.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfleet import client as client
    from kernelfleet.client.client import MultiEngineClient as MultiEngineClient
    from kernelfleet.client.fleet import Fleet as Fleet
    from kernelfleet.client.partition.partitioners import (
        register_partitioner as register_partitioner,
    )
    from kernelfleet.client.results.pending import (
        PendingResult as PendingResult,
    )
    from kernelfleet.client.results.waiting import (
        as_completed as as_completed,
    )
    from kernelfleet.client.results.waiting import wait as wait
    from kernelfleet.errors.composite import (
        CompositeError as CompositeError,
    )
    from kernelfleet.errors.tree import CallTimeout as CallTimeout
    from kernelfleet.errors.tree import ControllerError as ControllerError
    from kernelfleet.errors.tree import (
        ControllerUnreachable as ControllerUnreachable,
    )
    from kernelfleet.errors.tree import EngineDied as EngineDied
    from kernelfleet.errors.tree import EngineError as EngineError
    from kernelfleet.errors.tree import FleetError as FleetError
    from kernelfleet.errors.tree import FleetExists as FleetExists
    from kernelfleet.errors.tree import FleetNotFound as FleetNotFound
    from kernelfleet.errors.tree import FleetStopped as FleetStopped
    from kernelfleet.errors.tree import InterruptUnheeded as InterruptUnheeded
    from kernelfleet.errors.tree import (
        InvalidDeferredID as InvalidDeferredID,
    )
    from kernelfleet.errors.tree import InvalidEngineID as InvalidEngineID
    from kernelfleet.errors.tree import InvalidProperty as InvalidProperty
    from kernelfleet.errors.tree import MessageTooLarge as MessageTooLarge
    from kernelfleet.errors.tree import (
        NoEnginesRegistered as NoEnginesRegistered,
    )
    from kernelfleet.errors.tree import (
        NotAPendingResult as NotAPendingResult,
    )
    from kernelfleet.errors.tree import QueueCleared as QueueCleared
    from kernelfleet.errors.tree import QueueFull as QueueFull
    from kernelfleet.errors.tree import RemoteError as RemoteError
    from kernelfleet.errors.tree import (
        SerializationError as SerializationError,
    )
    from kernelfleet.errors.tree import SeveralFleets as SeveralFleets
    from kernelfleet.errors.tree import StartError as StartError
    from kernelfleet.errors.tree import (
        UnsupportedOperation as UnsupportedOperation,
    )
    from kernelfleet.errors.tree import ValueGone as ValueGone
    from kernelfleet.here import ThisEngine as ThisEngine
    from kernelfleet.here import this_engine as this_engine
    from kernelfleet.results import EngineInfo as EngineInfo
    from kernelfleet.results import EngineList as EngineList
    from kernelfleet.results import ExecutionResult as ExecutionResult
    from kernelfleet.results import ResultList as ResultList
    from kernelfleet.timeline import Span as Span
    from kernelfleet.timeline import Timeline as Timeline

__version__ = "0.2.0"

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
    "InterruptUnheeded",
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
    "Span",
    "StartError",
    "ThisEngine",
    "Timeline",
    "UnsupportedOperation",
    "ValueGone",
    "__version__",
    "as_completed",
    "client",
    "register_partitioner",
    "this_engine",
    "wait",
]

_MODULE_OF = {  # what is not here is an error
    "MultiEngineClient": "kernelfleet.client.client",
    "Fleet": "kernelfleet.client.fleet",
    "PendingResult": "kernelfleet.client.results.pending",
    "as_completed": "kernelfleet.client.results.waiting",
    "register_partitioner": "kernelfleet.client.partition.partitioners",
    "wait": "kernelfleet.client.results.waiting",
    "ThisEngine": "kernelfleet.here",
    "this_engine": "kernelfleet.here",
    "ResultList": "kernelfleet.results",
    "ExecutionResult": "kernelfleet.results",
    "EngineInfo": "kernelfleet.results",
    "EngineList": "kernelfleet.results",
    "Span": "kernelfleet.timeline",
    "Timeline": "kernelfleet.timeline",
}


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext kernelfleet``."""
    from kernelfleet.notebook import extension

    extension.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext kernelfleet``."""
    from kernelfleet.notebook import extension

    extension.unload(shell)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """What Jupyter Server loads: jupyter-config/ names this package."""
    from kernelfleet import server

    return server._jupyter_server_extension_points()


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where ``jupyter labextension develop`` finds what JupyterLab loads."""
    return [{"src": "labextension", "dest": "kernelfleet"}]


def frontend_for_ipython() -> Any:
    """The front end of clients in IPython; ``kernelfleet.client`` asks for it when one is made."""
    from kernelfleet.notebook.frontend import IPythonFrontend

    return IPythonFrontend()


def __getattr__(name: str) -> Any:
    """Import a public name on its first use and keep it."""
    if name not in __all__:
        raise AttributeError(f"module 'kernelfleet' has no attribute {name!r}")
    if name == "client":
        return import_module("kernelfleet.client")
    if name == "Fleet":
        import_module("kernelfleet.provisioners.servers").warm_up_for(_who_asks())
    value = getattr(import_module(_MODULE_OF.get(name, "kernelfleet.errors")), name)
    globals()[name] = value
    return value


def _who_asks() -> str:
    """The module whose code uses a name of this one for the first time."""
    frame = sys._getframe(2)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("importlib"):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__"))


def __dir__() -> list[str]:
    special = {name for name in globals() if name.startswith("__")}
    return sorted({*special, *__all__})
