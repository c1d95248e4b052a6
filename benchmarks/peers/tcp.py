"""kernelfleet, with the controller in a process of its own, reached by TCP and with encryption."""

from __future__ import annotations

from benchmarks.peers.base import Peer
from benchmarks.peers.daemon import DaemonPeer
from kernelfleet import MultiEngineClient
from kernelfleet.wire.files import connection_file


class TcpPeer(DaemonPeer):
    """As from another machine, but over the loopback. Only on request."""

    name = "tcp"

    def connect(self) -> MultiEngineClient:
        address = connection_file.read(self.fleet_name).tcp
        assert address is not None
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        return MultiEngineClient((host, int(port)))


def make() -> Peer:
    return TcpPeer()
