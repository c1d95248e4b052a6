"""What runs in the user's process: ``client.MultiEngineClient`` and all that belongs to it.

Like the package itself it imports a name when it is first asked for.

Where things are::

    the interface         client  base  code  data  properties  targets  grammar  source
    and beside it         registration  usage
    what a call gives     results
    maps and executor     mapping
    the controller        controller_proxy
    its modules           imports  autoreload
    around it             fleet (an embedded one)  shell (IPython)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient as MultiEngineClient
    from kernelfleet.client.fleet import Fleet as Fleet
    from kernelfleet.client.results.pending import (
        PendingResult as PendingResult,
    )
    from kernelfleet.errors.composite import (
        CompositeError as CompositeError,
    )


def __getattr__(name: str) -> Any:
    """Import a public name on its first use and keep it: all that ``kernelfleet`` itself offers."""
    import kernelfleet

    if name in ("client", "__version__") or name not in kernelfleet.__all__:
        raise AttributeError(f"module 'kernelfleet.client' has no attribute {name!r}")
    value = getattr(kernelfleet, name)
    globals()[name] = value
    return value
