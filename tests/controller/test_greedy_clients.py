"""Clients that ask for more than they read, and messages larger than the fleet takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from kernelfleet.controller import server as server_module
from kernelfleet.controller.limits import Limits
from kernelfleet.controller.server import MAX_REFUSALS, Server
from kernelfleet.wire.connection import FleetFile
from tests.controller.simulated import KEY, Fleet, SimulatedClient
from tests.fleets import until

MB = 1024 * 1024


class Silent(SimulatedClient):
    """It counts what comes and acknowledges nothing."""

    def ask(self, head: dict[str, Any], buffers: Any = ()) -> int:
        return super().ask({"ack": 0, **head}, buffers)


def with_fleet(limits: Limits, test: Callable[[Fleet], Awaitable[None]]) -> None:
    async def body() -> None:
        fleet = Fleet(limits)
        try:
            await test(fleet)
            assert fleet.complaints == []
        finally:
            fleet.close()

    asyncio.run(asyncio.wait_for(body(), 20))


def test_a_client_that_asks_on_and_never_reads_is_forgotten_in_the_end() -> None:
    async def test(fleet: Fleet) -> None:
        greedy, sane = Silent(fleet, "greedy"), SimulatedClient(fleet, "sane")
        large = {"verb": "set_properties", "targets": [0], "values": {"x": "x" * (3 * MB)}}
        sane.ask(large)
        wanted = {"verb": "get_properties", "targets": [0], "keys": None}
        for _ in range(2):
            greedy.ask(wanted)
        assert not greedy.peer.has_room
        for refusals in range(1, MAX_REFUSALS + 1):
            greedy.ask({"verb": "ping"})
            assert greedy.peer.refusals == refusals
        greedy.ask({"verb": "ping"})
        assert greedy.peer is None
        assert greedy.forgotten
        assert "value" in sane.heads[sane.ask({"verb": "ping"})]

    with_fleet(Limits(unread_bytes=2 * MB, credit_bytes=MB), test)


def test_who_reads_again_is_served_again() -> None:
    async def test(fleet: Fleet) -> None:
        greedy = Silent(fleet, "greedy")
        greedy.ask({"verb": "set_properties", "targets": [0], "values": {"x": "x" * (3 * MB)}})
        for _ in range(2):
            greedy.ask({"verb": "get_properties", "targets": [0], "keys": None})
        refused = greedy.ask({"verb": "ping"})
        assert refused not in greedy.heads  # it waits behind the others
        for _ in range(4):  # what lies within its credit comes; it says so; the rest comes
            greedy.send({"type": "ack", "ack": greedy.received})
        assert "has not read" in greedy.heads[refused]["refused"]["evalue"]
        assert "value" in greedy.heads[greedy.ask({"verb": "ping"})]
        assert greedy.peer.refusals == 0

    with_fleet(Limits(unread_bytes=2 * MB, credit_bytes=MB), test)


def test_a_frame_beyond_every_limit_is_not_even_received(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_HEAD_BYTES", MB)

    async def test(fleet: Fleet) -> None:
        context: zmq.Context[Any] = zmq.Context()
        file = FleetFile(name="x", pid=1, host="here", started=0.0, key=KEY)
        server = Server(fleet.controller, context, file, logging.getLogger("test"))
        url = server.listen_ipc(str(tmp_path / "s"))
        sockets = [context.socket(zmq.DEALER) for _ in range(2)]
        monitor = sockets[0].get_monitor_socket()
        try:
            for socket in sockets:
                socket.linger = 0
                socket.connect(url)
            sockets[0].send_multipart([b"x", bytes(3 * MB)])
            events = set()

            def disconnected() -> bool:
                if monitor.poll(0):
                    events.add(int.from_bytes(monitor.recv_multipart()[0][:2], "little"))
                return zmq.EVENT_DISCONNECTED in events

            await until(disconnected)
            sockets[1].send_multipart([b"x", b"y"])
            await until(lambda: server.refused > 0)
            assert server.refused == 1
        finally:
            server.close()
            context.destroy(linger=0)

    with_fleet(Limits(message_bytes=2 * MB), test)
