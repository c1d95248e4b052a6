"""What runs in the user's process: ``client.MultiEngineClient`` and all that belongs to it.

Like the package itself, this module imports a public name when it is first asked for. It also
passes on how the front end for IPython is made, which the package's facade knows: the modules of
the client do not know ``kernelfleet.notebook``.

Where things are::

    the interface         client  base  verbs  targets
    used by its verbs     source  registration  usage  watching
    what a call gives     results
    maps                  mapping
    cutting and joining   partition
    executor and pool     executor
    the controller        controller_proxy
    its modules           imports  autoreload
    around it             fleet (an embedded one)  owner  frontend  access  settings
    widgets of engines    comms
"""

from typing import TYPE_CHECKING, Any

import kernelfleet
from kernelfleet.client import frontend

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient as MultiEngineClient
    from kernelfleet.client.fleet import Fleet as Fleet
    from kernelfleet.client.results.pending import (
        PendingResult as PendingResult,
    )
    from kernelfleet.errors.composite import (
        CompositeError as CompositeError,
    )

__all__ = [name for name in kernelfleet.__all__ if name not in ("client", "__version__")]

frontend.offer(kernelfleet.frontend_for_ipython)


def __getattr__(name: str) -> Any:
    """Import a public name of ``kernelfleet`` on its first use, and keep it."""
    if name not in __all__:
        raise AttributeError(f"module 'kernelfleet.client' has no attribute {name!r}")
    value = getattr(kernelfleet, name)
    globals()[name] = value
    return value
