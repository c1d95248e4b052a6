"""The door for clients: who may come in, and what becomes of what they send."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from kernelfleet.controller import server as server_module
from kernelfleet.controller.peers import WirePeer
from kernelfleet.controller.server import Server
from kernelfleet.wire.codec import Codec
from kernelfleet.wire.connection import PROTOCOL_VERSION, FleetFile

KEY = "ab" * 32


class EchoController:
    """Welcomes everybody and answers each request with its own number."""

    def __init__(self) -> None:
        self.peers: dict[str, WirePeer] = {}
        self.gone: list[str] = []
        self.handled: list[dict[str, Any]] = []

    def connect(self, client_id: str, peer: WirePeer) -> dict[str, Any]:
        self.peers[client_id] = peer
        return {"type": "welcome", "boot": "1"}

    def disconnect(self, client_id: str) -> None:
        self.gone.append(client_id)

    def handle(self, client_id: str, head: dict[str, Any], buffers: list[Any]) -> None:
        self.handled.append(head)
        self.peers[client_id].deliver({"type": "reply", "to": head["n"]}, buffers)


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    context: zmq.Context[Any] = zmq.Context()
    yield context
    context.destroy(linger=0)


def fleet_file() -> FleetFile:
    return FleetFile(name="x", pid=1, host="here", started=0.0, key=KEY)


class Talk:
    """A client by hand, beside the server on one loop."""

    def __init__(self, context: zmq.Context[Any], url: str, client_id: str = "me") -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.setsockopt(zmq.ROUTING_ID, client_id.encode())
        self.socket.connect(url)
        self.codec = Codec(bytes.fromhex(KEY))

    def send(self, head: dict[str, Any], buffers: tuple[bytes, ...] = ()) -> None:
        self.socket.send_multipart(self.codec.encode(head, buffers))

    async def receive(self, kind: str, seconds: float = 10.0) -> dict[str, Any]:
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            if self.socket.poll(0):
                head, _ = self.codec.decode(self.socket.recv_multipart())
                if head["type"] == kind:
                    return head
            await asyncio.sleep(0.002)
        raise TimeoutError(kind)


def serve(
    context: zmq.Context[Any],
    tmp_path: Path,
    test: Any,
) -> EchoController:
    controller = EchoController()

    async def body() -> None:
        server = Server(controller, context, fleet_file(), logging.getLogger("test"))  # type: ignore[arg-type]
        talk = Talk(context, server.listen_ipc(str(tmp_path / "s")))
        try:
            await test(server, talk)
        finally:
            talk.socket.close()
            server.close()

    coroutine: Coroutine[Any, Any, None] = body()
    asyncio.run(asyncio.wait_for(coroutine, 30))
    return controller


HELLO = {"type": "hello", "version": PROTOCOL_VERSION}


def test_a_client_is_welcomed_and_answered(context: zmq.Context[Any], tmp_path: Path) -> None:
    async def test(_: Server, talk: Talk) -> None:
        talk.send(HELLO)
        await talk.receive("welcome")
        talk.send({"type": "request", "n": 1, "ack": 0})
        assert (await talk.receive("reply"))["to"] == 1
        talk.send({"type": "ping", "ack": 1})
        assert (await talk.receive("pong"))["ack"] == 1

    serve(context, tmp_path, test)


def test_a_request_that_arrives_twice_is_handled_once(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(_: Server, talk: Talk) -> None:
        talk.send(HELLO)
        for number in (1, 1, 2, 1, 2):
            talk.send({"type": "request", "n": number, "ack": 0})
        talk.send({"type": "ping", "ack": 0})
        assert (await talk.receive("pong"))["ack"] == 2

    assert [head["n"] for head in serve(context, tmp_path, test).handled] == [1, 2]


def test_another_version_of_the_protocol_is_refused_with_both_numbers(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(_: Server, talk: Talk) -> None:
        talk.send({"type": "hello", "version": 999})
        reason = (await talk.receive("refused"))["reason"]
        assert "999" in reason
        assert f"version {PROTOCOL_VERSION}" in reason

    assert not serve(context, tmp_path, test).peers


def test_a_stranger_without_hello_is_told_to_start_anew(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(_: Server, talk: Talk) -> None:
        talk.send({"type": "request", "n": 7, "ack": 0})
        assert "does not know this client" in (await talk.receive("refused"))["reason"]

    assert not serve(context, tmp_path, test).handled


def test_what_is_not_signed_with_our_key_is_counted_and_not_answered(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(server: Server, talk: Talk) -> None:
        wrong = Codec(b"another key")
        talk.socket.send_multipart(wrong.encode(HELLO))
        talk.socket.send_multipart([b"garbage"])
        talk.socket.send_multipart([b""] * 20)
        talk.send(HELLO)
        await talk.receive("welcome")
        assert server.refused == 3

    serve(context, tmp_path, test)


def test_a_client_that_says_goodbye_is_forgotten(context: zmq.Context[Any], tmp_path: Path) -> None:
    async def test(_: Server, talk: Talk) -> None:
        talk.send(HELLO)
        await talk.receive("welcome")
        talk.send({"type": "bye", "ack": 0})
        talk.send({"type": "ping", "ack": 0})
        await talk.receive("refused")

    assert serve(context, tmp_path, test).gone == ["me"]


def test_a_client_that_is_silent_for_long_is_forgotten(
    context: zmq.Context[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(server_module, "CLIENT_TIMEOUT", 0.05)

    async def test(_: Server, talk: Talk) -> None:
        talk.send(HELLO)
        await talk.receive("welcome")
        await asyncio.sleep(0.3)  # the very silence
        talk.send({"type": "ping", "ack": 0})
        await talk.receive("refused")

    assert serve(context, tmp_path, test).gone == ["me"]


def test_clients_are_told_when_the_door_closes(context: zmq.Context[Any], tmp_path: Path) -> None:
    async def test(server: Server, talk: Talk) -> None:
        talk.send(HELLO)
        await talk.receive("welcome")
        server.close()
        assert (await talk.receive("event"))["event"] == "stopped"

    serve(context, tmp_path, test)


def test_a_taken_port_is_an_error_if_it_was_asked_for_and_the_next_is_used_if_not(
    context: zmq.Context[Any],
) -> None:
    async def body() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            server = Server(EchoController(), context, fleet_file(), logging.getLogger("test"))  # type: ignore[arg-type]
            try:
                with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
                    server.listen_tcp(fleet_file(), port)
            finally:
                server.close()

    asyncio.run(body())
