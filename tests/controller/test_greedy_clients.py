"""Clients that ask for more than they read, and messages larger than the fleet takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import zmq

from kernelfleet.controller.door.server import MAX_REFUSALS, Server
from kernelfleet.controller.limits import Limits
from kernelfleet.wire.chunks import IPC_FRAME_BYTES, Outgoing
from kernelfleet.wire.files.connection_file import FleetFile
from tests.controller.simulated import KEY, Fleet, SimulatedClient
from tests.controller.talk import Talk
from tests.fleets import until

MB = 1024 * 1024


class Silent(SimulatedClient):
    """It counts what comes and acknowledges nothing."""

    def ask(self, header: dict[str, Any], buffers: Any = ()) -> int:
        return super().ask({"ack": 0, **header}, buffers)


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
        large = {"operation": "set_properties", "targets": [0], "values": {"x": "x" * (3 * MB)}}
        sane.ask(large)
        wanted = {"operation": "get_properties", "targets": [0], "keys": None}
        for _ in range(2):
            greedy.ask(wanted)
        assert not greedy.session.has_room
        for refusals in range(1, MAX_REFUSALS + 1):
            greedy.ask({"operation": "ping"})
            assert greedy.session.refusals == refusals
        greedy.ask({"operation": "ping"})
        assert greedy.session is None
        assert greedy.forgotten
        assert "value" in sane.headers[sane.ask({"operation": "ping"})]

    with_fleet(Limits(unread_bytes=2 * MB, credit_bytes=MB), test)


def test_who_reads_again_is_served_again() -> None:
    async def test(fleet: Fleet) -> None:
        greedy = Silent(fleet, "greedy")
        greedy.ask({"operation": "set_properties", "targets": [0], "values": {"x": "x" * (3 * MB)}})
        for _ in range(2):
            greedy.ask({"operation": "get_properties", "targets": [0], "keys": None})
        refused = greedy.ask({"operation": "ping"})
        assert refused not in greedy.headers  # it waits behind the others
        for _ in range(4):  # what lies within its credit comes; it says so; the rest comes
            greedy.send({"type": "ack", "ack": greedy.received})
        assert "has not read" in greedy.headers[refused]["refused"]["evalue"]
        assert "value" in greedy.headers[greedy.ask({"operation": "ping"})]
        assert greedy.session.refusals == 0

    with_fleet(Limits(unread_bytes=2 * MB, credit_bytes=MB), test)


def test_a_large_frame_is_not_received_from_whom_nobody_knows(tmp_path: Path) -> None:
    async def test(fleet: Fleet) -> None:
        context: zmq.Context[Any] = zmq.Context()
        file = FleetFile(name="x", pid=1, host="here", started=0.0, key=KEY)
        server = Server(fleet.controller, context, file, logging.getLogger("test"))
        path = server.listen_ipc(str(tmp_path / "s")).removeprefix("ipc://")
        try:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"PLAIN".ljust(52, b"\0"))
            await reader.readexactly(64)
            writer.write(b"\x06" + (3 * MB).to_bytes(8, "big"))
            with contextlib.suppress(ConnectionResetError):
                assert len(await reader.read()) < 200  # until it is cut
            writer.close()
            await until(lambda: server.refused_connections == 1)
        finally:
            server.close()
            context.destroy(linger=0)

    with_fleet(Limits(message_bytes=2 * MB), test)


def test_a_message_beyond_the_limit_is_refused_and_not_kept(tmp_path: Path) -> None:
    async def test(fleet: Fleet) -> None:
        context: zmq.Context[Any] = zmq.Context()
        file = FleetFile(name="x", pid=1, host="here", started=0.0, key=KEY)
        server = Server(fleet.controller, context, file, logging.getLogger("test"))
        talk = Talk(context, server.listen_ipc(str(tmp_path / "s")), bytes.fromhex(KEY))
        try:
            await talk.open()
            assert talk.codecs is not None
            outgoing = Outgoing(talk.codecs.to_controller, talk.say, IPC_FRAME_BYTES)
            header = {"type": "request", "operation": "ping", "n": 1, "ack": 0}
            outgoing.send(header, [bytes(3 * MB)])
            refused = (await talk.receive("reply"))["refused"]["evalue"]
            assert f"a message of {3 * MB} bytes; Limits.message_bytes of this" in refused
            talk.send({**header, "n": 2})
            assert "value" in await talk.receive("reply")
        finally:
            talk.socket.close()
            server.close()
            context.destroy(linger=0)

    with_fleet(Limits(message_bytes=2 * MB), test)
