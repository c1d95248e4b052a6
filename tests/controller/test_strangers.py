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

from kernelfleet.controller import strangers as strangers_module
from kernelfleet.controller.strangers import Strangers
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


class Door:
    """A CURVE socket that is watched."""

    def __init__(
        self, context: zmq.Context[Any], log: logging.Logger, descriptors: int | None
    ) -> None:
        self.context = context
        self.strangers = Strangers(log)
        self.socket = context.socket(zmq.ROUTER)
        self.socket.curve_server = True
        self.socket.curve_publickey, self.socket.curve_secretkey = SERVER
        self.socket.zap_domain = b"test"
        self.strangers.watch(asyncio.get_running_loop(), context, self.socket)
        self.visitors: list[zmq.Socket[Any]] = []
        url = self.strangers.open_door(strangers_module.listen(0), descriptors)
        self.port = int(url.rpartition(":")[2])

    def visit(self, keys: tuple[bytes, bytes] | None, server: bytes = SERVER[0]) -> None:
        """A visitor over ZMQ, who tries once."""
        visitor = self.context.socket(zmq.DEALER)
        self.visitors.append(visitor)
        visitor.linger = 0
        visitor.reconnect_ivl = -1
        if keys is not None:
            visitor.curve_serverkey = server
            visitor.curve_publickey, visitor.curve_secretkey = keys
        visitor.connect(f"tcp://127.0.0.1:{self.port}")
        with contextlib.suppress(zmq.Again):  # refused before it could
            visitor.send(b"hello", zmq.NOBLOCK)


def run(
    context: zmq.Context[Any],
    test: Callable[[Door], Coroutine[Any, Any, None]],
    descriptors: int | None = None,
) -> tuple[Door, list[str]]:
    """Run a test with a door; gives back what was logged."""
    said: list[str] = []
    log = logging.Logger("door")
    log.addFilter(lambda record: bool(said.append(record.getMessage())))  # type: ignore[func-returns-value]

    async def body() -> Door:
        authenticator = AsyncioAuthenticator(context)
        authenticator.start()
        authenticator.configure_curve_callback(domain="test", credentials_provider=OnlyClient())
        door = Door(context, log, descriptors)
        try:
            await test(door)
        finally:
            door.strangers.close()
            for visitor in door.visitors:
                visitor.close()
            door.socket.close(linger=0)
            authenticator.stop()
        return door

    return asyncio.run(asyncio.wait_for(body(), 30)), said


async def let_in(door: Door, n: int) -> None:
    """Wait until ``n`` visitors with the right keys have been heard."""
    for _ in range(n):
        await until(lambda: bool(door.socket.poll(0)))
        door.socket.recv_multipart()


def test_who_has_the_keys_is_no_stranger(context: zmq.Context[Any]) -> None:
    async def test(door: Door) -> None:
        for _ in range(3):
            door.visit(CLIENT)
        await let_in(door, 3)
        await until(lambda: door.strangers.connections == 0)

    door, said = run(context, test)
    assert door.strangers.counts() == {"connections": 0, "messages": 0}
    assert said == []


@pytest.mark.parametrize("visitor", ["no CURVE", "own key", "wrong server key", "garbage", "mute"])
def test_whoever_has_not_is_counted_whatever_it_tries(
    context: zmq.Context[Any], visitor: str
) -> None:
    async def test(door: Door) -> None:
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
            await until(lambda: door.strangers.connections == 1)

    door, said = run(context, test)
    assert door.strangers.counts() == {"connections": 1, "messages": 0}
    assert said == ["refused 1 TCP connections and 0 messages in all"]


def test_the_log_hears_of_the_first_and_at_the_end_of_how_many(
    context: zmq.Context[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers_module, "HANDSHAKE_SECONDS", 0.05)

    async def test(door: Door) -> None:
        for _ in range(3):
            door.visit(OTHER)
            await asyncio.sleep(0.1)  # the handshake's time, over and again
        await until(lambda: door.strangers.connections == 3)
        for _ in range(5):
            door.strangers.refuse("wrong signature")

    _, said = run(context, test)
    assert said == [
        "refused a TCP connection without the fleet's keys: see status",
        "refused a malformed or unsigned message: wrong signature",
        "refused 3 TCP connections and 5 messages in all",
    ]


def test_a_silent_connection_is_closed_when_its_time_is_up(
    context: zmq.Context[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers_module, "HANDSHAKE_SECONDS", 0.2)

    async def test(door: Door) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        greeting = await reader.read()  # until the end
        assert len(greeting) <= 64  # what ZMQ says to everybody
        writer.close()

    run(context, test)


def test_too_many_connections_are_cut_and_the_door_opens_again(
    context: zmq.Context[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers_module, "SHUT_SECONDS", 0.2)

    async def test(door: Door) -> None:
        door.visit(CLIENT)
        await let_in(door, 1)
        for _ in range(2):
            mute = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(2)]
            for reader, writer in mute:
                with contextlib.suppress(ConnectionResetError):
                    assert len(await reader.read()) <= 64  # until it is cut
                writer.close()
            door.visit(CLIENT)  # it is shut, and the visitor waits
            await let_in(door, 1)

    _, said = run(context, test, descriptors=12)
    assert said[0] == "3 connections on TCP are too many: all are cut"
    assert [line for line in said[1:] if "too many" in line] == []


@pytest.mark.parametrize(
    ("descriptors", "connections"), [(None, 1000), (1_000_000, 1000), (1024, 256), (0, 1)]
)
def test_how_many_connections_there_may_be_depends_on_the_descriptors(
    context: zmq.Context[Any], descriptors: int | None, connections: int
) -> None:
    async def test(door: Door) -> None:
        assert door.strangers.max_connections == connections

    run(context, test, descriptors)


def test_a_port_that_is_taken_is_an_error() -> None:
    with strangers_module.listen(0) as first, pytest.raises(OSError, match="in use"):
        strangers_module.listen(first.getsockname()[1])


def test_nothing_is_said_where_nobody_came(context: zmq.Context[Any]) -> None:
    async def test(_: Door) -> None:
        return

    assert run(context, test)[1] == []
