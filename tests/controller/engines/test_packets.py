"""packets.py: what fits into a packet goes there, and what cannot be read is a problem."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from jupyter_client.session import DELIM

from kernelfleet.controller.engines.packets import Packets, connect
from kernelfleet.wire.files.packet_socket import PacketSocket
from kernelfleet.wire.jupyter import COMPACT, KernelMessage, encode_compact, make_session
from kernelfleet.wire.platforms import HERE
from tests.fleets import until

pytestmark = pytest.mark.skipif(not HERE.packets, reason="needs Linux")
SESSION = make_session(b"key", "controller")


def with_both(
    test: Callable[[Packets, socket.socket, list[KernelMessage]], Awaitable[None]],
) -> None:
    async def body() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        heard: list[KernelMessage] = []
        packets = Packets(PacketSocket(ours), SESSION, b"engine", heard.append)
        with theirs:
            try:
                await test(packets, theirs, heard)
            finally:
                packets.close()
                packets.close()

    asyncio.run(body())


def test_a_reply_is_read_as_one_of_that_engine() -> None:
    async def test(packets: Packets, theirs: socket.socket, heard: list[KernelMessage]) -> None:
        PacketSocket(theirs).send(encode_compact(SESSION, "fleet_x_reply", "id", {"status": "ok"}))
        await until(lambda: bool(heard))
        (message,) = heard
        assert (message.msg_type, message.parent_id) == ("fleet_x_reply", "id")
        assert (message.session, message.content) == ("engine", {"status": "ok"})

    with_both(test)


def test_a_reply_with_a_wrong_signature_is_a_problem() -> None:
    async def test(packets: Packets, theirs: socket.socket, heard: list[KernelMessage]) -> None:
        other = make_session(b"another", "x")
        PacketSocket(theirs).send(encode_compact(other, "fleet_x_reply", "id", {}))
        await until(lambda: bool(heard))
        assert "wrong signature" in heard[0].problem
        assert heard[0].session == "engine"

    with_both(test)


def test_only_the_fleets_own_requests_on_shell_are_packets_and_none_after_the_end() -> None:
    async def test(packets: Packets, theirs: socket.socket, heard: list[KernelMessage]) -> None:
        assert packets.send("shell", [COMPACT, b"x"])
        assert not packets.send("control", [COMPACT, b"x"])
        assert not packets.send("shell", [DELIM, b"x"])
        theirs.close()
        await until(lambda: not packets.send("shell", [COMPACT, b"x"]))
        assert heard == []

    with_both(test)


def test_an_engine_that_does_not_listen_is_reached_over_zmq() -> None:
    assert connect("/nowhere/e.json", SESSION, b"engine", lambda _: None) is None
