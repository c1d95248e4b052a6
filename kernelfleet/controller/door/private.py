"""The door of an embedded fleet: a Unix socket by which other processes of its user come in.

The owner's own clients hand their messages over in memory and do not use it. It has a ZMQ context
of its own, because the authenticator of a context serves one door, and one process may have several
fleets.
"""

from __future__ import annotations

from logging import Logger
from typing import TYPE_CHECKING, Any

import zmq

from kernelfleet.wire.platforms import HERE

if TYPE_CHECKING:
    from kernelfleet.controller.door.server import Server
    from kernelfleet.controller.host import FleetHost

#: How long the end of a fleet waits for what clients have not read yet.
LINGER_MS = 500


async def load() -> None:
    """Import what a door needs, which takes some 10 ms: best while the engines start."""
    if HERE.unix_sockets:
        import kernelfleet.controller.door.server  # noqa: F401


class PrivateDoor:
    """Listens on ``client.sock`` in the fleet's directory, and writes the connection file.

    A fleet whose door cannot be opened serves its own process as ever; the log says why nobody else
    can come in.
    """

    def __init__(self, host: FleetHost, log: Logger) -> None:
        self._context: zmq.Context[Any] | None = None
        self._server: Server | None = None
        if not HERE.unix_sockets:
            return
        try:
            self._open(host, log)
        except (OSError, zmq.ZMQError) as error:
            log.warning("other processes cannot connect to this fleet: %s", error)
            self.close()

    def _open(self, host: FleetHost, log: Logger) -> None:
        from kernelfleet.controller.door.server import Server

        self._context = zmq.Context()
        server = self._server = Server(host.controller, self._context, host.file, log)
        path = str(host.directory.sockets / "client.sock")
        host.file.ipc = server.listen_ipc(path)
        host.directory.when_restored.append(lambda: server.listen_ipc(path))
        host.directory.write(host.file)

    def close(self) -> None:
        """Tell the clients that the fleet has ended, and close the door."""
        if self._server is not None:
            self._server.close()
        if self._context is not None:
            self._context.destroy(linger=LINGER_MS)
        self._server = self._context = None
