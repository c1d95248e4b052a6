"""The extension of Jupyter Server: fleets over REST, a WebSocket and ``/metrics``.

It runs in the process of Jupyter Server, on its event loop, which nothing here blocks. What it
answers is described in docs/rest.md. Importing this module loads nothing else; the server's own
modules are imported when it loads its extensions, those of the client when somebody first asks.

Where things are::

    what is said    shapes  description  problems
    who answers     extension  services  handlers  web_socket  metrics
    what is known   board  spans  view  fleets  watching
    what is done    starting  logs  opening
"""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """What Jupyter Server loads: it asks for this when it loads its extensions."""
    from kernelfleet.server.extension import KernelFleetExtension

    return [{"module": "kernelfleet.server", "app": KernelFleetExtension}]
