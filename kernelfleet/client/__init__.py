"""What runs in the user's process: ``client.MultiEngineClient`` and all that belongs to it.

Like the package itself it imports a name when it is first asked for.

Where things are::

    the interface      client  base  code  data  maps  properties  targets  grammar  source
    and beside it      registration  usage
    results            pending  future  waiting  replies  decode  outputs  progress
    map and executor   mapping  executor  tasks  pairing
    beneath them       dispatch  batches  batch_requests  outcomes  supply  schedule  partition
    on an engine       nested  staying (what is not to get there)
    the connection     connection  transport  line  reachability  loop
    its modules        imports  autoreload
    around it          fleet (an embedded one)  shell (IPython)  ctrl_c
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient as MultiEngineClient
    from kernelfleet.client.fleet import Fleet as Fleet
    from kernelfleet.client.pending import PendingResult as PendingResult
    from kernelfleet.errors import CompositeError as CompositeError


def __getattr__(name: str) -> Any:
    """Import a public name on its first use and keep it: all that ``kernelfleet`` itself offers."""
    import kernelfleet

    if name in ("client", "__version__") or name not in kernelfleet.__all__:
        raise AttributeError(f"module 'kernelfleet.client' has no attribute {name!r}")
    value = getattr(kernelfleet, name)
    globals()[name] = value
    return value
