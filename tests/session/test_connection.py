"""One connection: its handshake, what it tells, and that it leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import zmq
from zmq.auth.thread import ThreadAuthenticator

from kernelfleet.session import loop
from kernelfleet.session.connection import Connection, Endpoint
from kernelfleet.session.loop import LoopThread
from kernelfleet.session.timing import Phase
from kernelfleet.wire.codec import Codec
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.handshake import PLAIN_USERNAME, connection_codecs, plain_password
from kernelfleet.wire.versions import PROTOCOL_VERSION
from tests.fleets import eventually

KEY = b"\xab" * 32


class User:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: SimpleQueue[tuple[Any, ...]] = SimpleQueue()

    def connection_progressed(self, connection: Connection, phase: Phase) -> None:
        self.told.put((phase,))

    def connection_ready(self, connection: Connection) -> None:
        self.told.put(("ready",))
        connection.send({"type": "open"}, [])

    def connection_received(
        self, connection: Connection, header: dict[str, Any], buffers: list[Any]
    ) -> None:
        self.told.put(("heard", header))

    def connection_alive(self, connection: Connection) -> None:
        self.told.put(("alive",))

    def connection_doubted(self, connection: Connection, reason: str) -> None:
        self.told.put(("doubted", reason))

    def connection_refused(self, connection: Connection, reason: str) -> None:
        self.told.put(("refused", reason))

    def connection_broken(self, connection: Connection) -> None:
        self.told.put(("broken",))


class Door:
    """A controller's socket, driven by the test's thread."""

    def __init__(self, context: zmq.Context[Any], url: str) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.rcvtimeo = 10_000
        self.socket.plain_server = True
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.start()
        passwords = {PLAIN_USERNAME.decode(): plain_password(KEY)}
        self._authenticator.configure_plain(passwords=passwords)
        self.socket.bind(url)

    def close(self) -> None:
        self._authenticator.stop()

    def receive(self, codec: Codec) -> tuple[bytes, dict[str, Any]]:
        identity, *frames = self.socket.recv_multipart()
        return identity, codec.decode(frames)[0]

    def send(self, identity: bytes, codec: Codec, header: dict[str, Any]) -> None:
        self.socket.send_multipart([identity, *codec.encode(header)])


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = loop.acquire()
    yield thread
    loop.release(thread)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/door"


@pytest.fixture
def door(url: str) -> Iterator[Door]:
    context: zmq.Context[Any] = zmq.Context()
    door = Door(context, url)
    yield door
    door.close()
    context.destroy(linger=0)


Make = Callable[[], tuple[Connection, User]]


@pytest.fixture
def make(thread: LoopThread, url: str) -> Iterator[Make]:
    """Open connections on the loop thread."""
    connections: list[Connection] = []

    def on_loop(function: Callable[[], Any]) -> Any:
        done: Future[Any] = Future()
        thread.call(lambda: done.set_result(function()))
        return done.result(10)

    def make() -> tuple[Connection, User]:
        user = User()
        fleet = FleetFile("x", 1, "here", 0.0, key=KEY.hex())
        endpoint = Endpoint(thread.loop, thread.context, fleet, url, "me")
        connections.append(on_loop(lambda: Connection(endpoint, user)))
        return connections[-1], user

    yield make
    for connection in connections:
        on_loop(connection.close)
        on_loop(connection.close)


def test_hello_challenge_and_then_the_keys_of_the_line(door: Door, make: Make) -> None:
    connection, user = make()
    identity, hello = door.receive(Codec(KEY))
    assert (hello["type"], hello["version"], hello["client"]) == ("hello", PROTOCOL_VERSION, "me")
    answer = {"type": "challenge", "nonce": hello["nonce"], "challenge": "c"}
    door.send(identity, Codec(KEY), {**answer, "nonce": "another's"})
    door.send(identity, Codec(KEY), answer)
    codecs = connection_codecs(KEY, "me", hello["nonce"], "c")
    assert door.receive(codecs.to_controller)[1] == {"type": "open"}
    assert connection.is_ready
    door.send(identity, Codec(KEY), {"type": "welcome"})
    door.send(identity, codecs.to_client, {"type": "welcome"})
    told = [user.told.get(timeout=10) for _ in range(5)]
    assert told[:3] == [("connected",), ("greeted",), ("ready",)]
    assert told[3][0] == "doubted"
    assert "another key" in told[3][1]
    assert told[4] == ("heard", {"type": "welcome"})


def test_a_refusal_is_read_before_there_are_keys(door: Door, make: Make) -> None:
    _, user = make()
    identity, _ = door.receive(Codec(KEY))
    door.send(identity, Codec(KEY), {"type": "refused", "reason": "too old"})
    told = [user.told.get(timeout=10) for _ in range(3)]
    assert told[-1] == ("refused", "too old")


def test_what_was_said_before_the_end_is_heard_before_it(door: Door, make: Make) -> None:
    _, user = make()
    identity, hello = door.receive(Codec(KEY))
    door.send(identity, Codec(KEY), {"type": "challenge", "nonce": hello["nonce"], "challenge": ""})
    codecs = connection_codecs(KEY, "me", hello["nonce"], "")
    door.receive(codecs.to_controller)
    for number in range(100):
        door.send(identity, codecs.to_client, {"type": "event", "n": number})
    door.socket.close(linger=1000)
    told: list[Any] = []
    while not told or told[-1] != ("broken",):
        told.append(user.told.get(timeout=10))
    assert [header["n"] for kind, header in told[3:-1]] == list(range(100))


def test_nobody_there_is_told_once_and_lines_leave_no_descriptor(make: Make) -> None:
    for _ in range(3):  # what the context and the loop make for the first ones
        connection, user = make()
        assert user.told.get(timeout=10) == ("broken",)
        connection._endpoint.loop.call_soon_threadsafe(connection.close)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        connection, user = make()
        assert user.told.get(timeout=10) == ("broken",)
        connection._endpoint.loop.call_soon_threadsafe(connection.close)
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert user.told.empty()
