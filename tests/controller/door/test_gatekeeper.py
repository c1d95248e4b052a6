"""Strangers are counted whatever they try; who has the keys is not among them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import zmq
from zmq.auth.asyncio import AsyncioAuthenticator

from kernelfleet.controller.door import gatekeeper as gatekeeper_module
from kernelfleet.controller.door.gatekeeper import Gatekeeper
from tests.fleets import until

SERVER, CLIENT, OTHER = (zmq.curve_keypair() for _ in range(3))


class OnlyClient:
    def callback(self, _domain: str, key: bytes) -> bool:
        return key == CLIENT[0]


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    context: zmq.Context[Any] = zmq.Context()
    yield context
    context.destroy(linger=0)


class Entrance:
    """A CURVE socket that is watched, and whoever visits it."""

    def __init__(
        self, context: zmq.Context[Any], log: logging.Logger, descriptors: int | None
    ) -> None:
        self.context = context
        self.gatekeeper = Gatekeeper(log, descriptors)
        self.socket = context.socket(zmq.ROUTER)
        self.socket.curve_server = True
        self.socket.curve_publickey, self.socket.curve_secretkey = SERVER
        self.socket.zap_domain = b"test"
        self.socket.maxmsgsize = 1000
        self.door = self.gatekeeper.watch(asyncio.get_running_loop(), context, self.socket)
        self.visitors: list[zmq.Socket[Any]] = []
        url = self.door.bind_tcp(gatekeeper_module.listen(0))
        self.port = int(url.rpartition(":")[2])

    def visit(self, keys: tuple[bytes, bytes] | None, server: bytes = SERVER[0]) -> zmq.Socket[Any]:
        """A visitor over ZMQ, who tries once."""
        visitor: zmq.Socket[Any] = self.context.socket(zmq.DEALER)
        self.visitors.append(visitor)
        visitor.linger = 0
        visitor.reconnect_ivl = -1
        if keys is not None:
            visitor.curve_serverkey = server
            visitor.curve_publickey, visitor.curve_secretkey = keys
        visitor.connect(f"tcp://127.0.0.1:{self.port}")
        with contextlib.suppress(zmq.Again):  # refused before it could
            visitor.send(b"hello", zmq.NOBLOCK)
        return visitor

    async def mute(self, n: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connections that say nothing."""
        return [await asyncio.open_connection("127.0.0.1", self.port) for _ in range(n)]


def run(
    context: zmq.Context[Any],
    test: Callable[[Entrance], Coroutine[Any, Any, None]],
    descriptors: int | None = None,
) -> tuple[Entrance, list[str]]:
    """Run a test with a door; gives back what was logged."""
    said: list[str] = []
    log = logging.Logger("door")
    log.addFilter(lambda record: bool(said.append(record.getMessage())))  # type: ignore[func-returns-value]

    async def body() -> Entrance:
        authenticator = AsyncioAuthenticator(context)
        authenticator.start()
        authenticator.configure_curve_callback(domain="test", credentials_provider=OnlyClient())
        door = Entrance(context, log, descriptors)
        try:
            await test(door)
        finally:
            door.gatekeeper.close()
            for visitor in door.visitors:
                visitor.close()
            door.socket.close(linger=0)
            authenticator.stop()
        return door

    return asyncio.run(asyncio.wait_for(body(), 30)), said


async def let_in(door: Entrance, n: int) -> bytes:
    """Wait until ``n`` visitors with the right keys have been heard; the last one's identity."""
    identity = b""
    for _ in range(n):
        await until(lambda: bool(door.socket.poll(0)))
        frames = door.socket.recv_multipart(copy=False)
        door.door.let_in(frames[0])
        identity = frames[0].bytes
    return identity


async def ended(reader: asyncio.StreamReader) -> bool:
    """Wait until a connection is cut; whether it was told no more than ZMQ says to everybody."""
    with contextlib.suppress(ConnectionResetError):
        return len(await reader.read()) <= 64
    return True


def test_who_has_the_keys_is_no_stranger(context: zmq.Context[Any]) -> None:
    async def test(door: Entrance) -> None:
        for _ in range(3):
            door.visit(CLIENT)
        await let_in(door, 3)
        await until(lambda: door.gatekeeper.connections == 0)

    door, said = run(context, test)
    assert door.gatekeeper.counts() == {"connections": 0, "messages": 0}
    assert said == []


@pytest.mark.parametrize("visitor", ["no CURVE", "own key", "wrong server key", "garbage", "mute"])
def test_whoever_has_not_is_counted_whatever_it_tries(
    context: zmq.Context[Any], visitor: str
) -> None:
    async def test(door: Entrance) -> None:
        with socket.socket() as raw:
            if visitor in ("garbage", "mute"):
                raw.connect(("127.0.0.1", door.port))
                raw.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10 if visitor == "garbage" else b"")
            elif visitor == "no CURVE":
                door.visit(None)
            elif visitor == "own key":
                door.visit(OTHER)
            else:
                door.visit(CLIENT, server=OTHER[0])
            door.visit(CLIENT)
            await let_in(door, 1)
            await until(lambda: door.gatekeeper.connections == 1)

    door, said = run(context, test)
    assert door.gatekeeper.counts() == {"connections": 1, "messages": 0}
    assert said == ["refused 1 connections and 0 messages in all"]


def test_the_log_hears_of_the_first_and_at_the_end_of_how_many(
    context: zmq.Context[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatekeeper_module, "HANDSHAKE_SECONDS", 0.05)

    async def test(door: Entrance) -> None:
        for _ in range(3):
            door.visit(OTHER)
            await asyncio.sleep(0.1)  # the handshake's time, over and again
        await until(lambda: door.gatekeeper.connections == 3)
        for _ in range(5):
            door.gatekeeper.refuse("wrong signature")

    _, said = run(context, test)
    assert said == [
        "refused a connection without the fleet's keys: see status",
        "refused a malformed or unsigned message: wrong signature",
        "refused 3 connections and 5 messages in all",
    ]


def test_a_silent_connection_is_closed_when_its_time_is_up(
    context: zmq.Context[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatekeeper_module, "HANDSHAKE_SECONDS", 0.2)

    async def test(door: Entrance) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        greeting = await reader.read()  # until the end
        assert len(greeting) <= 64  # what ZMQ says to everybody
        writer.close()

    run(context, test)


def test_with_too_many_that_wait_the_oldest_are_cut_and_who_was_let_in_stays(
    context: zmq.Context[Any],
) -> None:
    async def test(door: Entrance) -> None:
        client = door.visit(CLIENT)
        identity = await let_in(door, 1)
        mute = await door.mute(7)
        for reader, _ in mute[:4]:
            assert await ended(reader)
        await until(lambda: len(door.door.waiting) == 3)
        for reader, _ in mute[4:]:
            assert len(await reader.readexactly(10)) == 10  # the greeting's beginning
            assert not reader.at_eof()
        later = door.visit(CLIENT)
        await let_in(door, 1)  # one more of the mute had to go
        door.socket.send_multipart([identity, b"still there"])
        assert await answered(client) == b"still there"
        assert not later.closed
        for _, writer in mute:
            writer.close()
        await until(lambda: not door.door.waiting)

    _, said = run(context, test, descriptors=24)
    assert said[0] == "more than 3 connections without a key at once: the oldest are cut"
    assert [line for line in said[1:] if "at once" in line] == []


async def answered(visitor: zmq.Socket[Any]) -> bytes:
    await until(lambda: bool(visitor.poll(0)))
    return bytes(visitor.recv())


def test_a_descriptor_that_is_another_connections_by_now_is_not_cut(
    context: zmq.Context[Any],
) -> None:
    async def test(door: Entrance) -> None:
        one, other = socket.socketpair()
        with one, other:
            door.door.waiting[one.fileno()] = ("what", "it was")
            door.door.cut_oldest()
            one.send(b"x")
            assert other.recv(1) == b"x"
        door.door.waiting[10**6] = ("there is", "no such")
        door.door.cut_oldest()
        assert not door.door.waiting

    run(context, test)


@pytest.mark.parametrize(
    ("descriptors", "connections"), [(None, 64), (1_000_000, 64), (256, 32), (0, 1)]
)
def test_how_many_connections_may_wait_depends_on_the_descriptors(
    descriptors: int | None, connections: int
) -> None:
    assert gatekeeper_module.max_waiting(descriptors) == connections
    assert gatekeeper_module.max_waiting(descriptors, 16) == min(connections, 16)


def test_a_frame_that_is_too_large_ends_the_connection_before_it_is_held(
    context: zmq.Context[Any],
) -> None:
    async def test(door: Entrance) -> None:
        reader, writer = (await door.mute(1))[0]
        writer.write(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32))
        assert len(await reader.readexactly(64)) == 64
        writer.write(b"\x06" + (1 << 32).to_bytes(8, "big"))  # a command of 4 GiB
        assert await ended(reader)
        writer.close()

    run(context, test)


def test_a_port_that_is_taken_is_an_error() -> None:
    with gatekeeper_module.listen(0) as first, pytest.raises(OSError, match="in use"):
        gatekeeper_module.listen(first.getsockname()[1])


@pytest.mark.parametrize(("host", "url"), [("127.0.0.2", "127.0.0.2"), ("::1", "[::1]")])
def test_a_door_can_be_on_another_address(context: zmq.Context[Any], host: str, url: str) -> None:
    async def test(door: Entrance) -> None:
        listener = gatekeeper_module.listen(0, host)
        other = context.socket(zmq.ROUTER)
        try:
            entrance = door.gatekeeper.watch(asyncio.get_running_loop(), context, other)
            assert entrance.bind_tcp(listener).startswith(f"tcp://{url}:")
            port = listener_port(entrance._socket)
            _, writer = await asyncio.open_connection(host, port)
            await until(lambda: bool(entrance.waiting))
            entrance.cut_oldest()
            await until(lambda: not entrance.waiting)
            writer.close()
        finally:
            entrance.close()
            other.close()

    run(context, test)


def listener_port(listening: zmq.Socket[Any]) -> int:
    return int(listening.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])


def test_an_address_of_another_machine_is_an_error_with_what_to_do() -> None:
    with pytest.raises(
        OSError, match=r"192\.0\.2\.1:10105: .*--host is an address of this machine"
    ):
        gatekeeper_module.listen_near(None, "192.0.2.1")
    with gatekeeper_module.listen(0) as first, pytest.raises(OSError, match=r"in use$"):
        gatekeeper_module.listen_near(first.getsockname()[1], "127.0.0.1")


def test_nothing_is_said_where_nobody_came(context: zmq.Context[Any]) -> None:
    async def test(_: Entrance) -> None:
        return

    assert run(context, test)[1] == []
