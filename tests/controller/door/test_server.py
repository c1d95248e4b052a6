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

from kernelfleet import __version__
from kernelfleet.controller.door import server as server_module
from kernelfleet.controller.door.server import Server
from kernelfleet.controller.door.sessions import ClientSession
from kernelfleet.controller.limits import Limits
from kernelfleet.controller.timing import GONE_CHECKS
from kernelfleet.wire.codec import Codec
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.versions import PROTOCOL_VERSION
from tests.controller.talk import Talk
from tests.fleets import until

KEY = "ab" * 32


class EchoController:
    """Welcomes everybody and answers each request with its own number."""

    limits = Limits()
    one_machine = True

    def __init__(self) -> None:
        self.peers: dict[str, ClientSession] = {}
        self.gone: list[str] = []
        self.handled: list[dict[str, Any]] = []

    def connect(self, client_id: str, peer: ClientSession) -> dict[str, Any]:
        self.peers[client_id] = peer
        return {"type": "welcome", "instance": "1"}

    def disconnect(self, client_id: str) -> None:
        self.gone.append(client_id.partition("/")[0])

    def handle(self, client_id: str, header: dict[str, Any], buffers: list[Any]) -> None:
        self.handled.append(header)
        self.peers[client_id].deliver({"type": "reply", "to": header["n"]}, buffers)


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    context: zmq.Context[Any] = zmq.Context()
    yield context
    context.destroy(linger=0)


def fleet_file() -> FleetFile:
    return FleetFile(name="x", pid=1, host="here", started=0.0, key=KEY)


def serve(
    context: zmq.Context[Any],
    tmp_path: Path,
    test: Any,
) -> EchoController:
    controller = EchoController()

    async def body() -> None:
        server = Server(controller, context, fleet_file(), logging.getLogger("test"))  # type: ignore[arg-type]
        talk = Talk(context, server.listen_ipc(str(tmp_path / "s")), bytes.fromhex(KEY))
        try:
            await test(server, talk)
        finally:
            talk.socket.close()
            server.close()

    coroutine: Coroutine[Any, Any, None] = body()
    asyncio.run(asyncio.wait_for(coroutine, 30))
    return controller


def test_a_client_is_welcomed_and_answered(context: zmq.Context[Any], tmp_path: Path) -> None:
    async def test(_: Server, talk: Talk) -> None:
        await talk.open()
        talk.send({"type": "request", "n": 1, "ack": 0})
        assert (await talk.receive("reply"))["to"] == 1
        talk.send({"type": "ping", "ack": 1})
        assert (await talk.receive("pong"))["ack"] == 1

    serve(context, tmp_path, test)


def test_a_request_that_arrives_twice_is_handled_once(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(_: Server, talk: Talk) -> None:
        await talk.open()
        for number in (1, 1, 2, 1, 2):
            talk.send({"type": "request", "n": number, "ack": 0})
        talk.send({"type": "ping", "ack": 0})
        assert (await talk.receive("pong"))["ack"] == 2

    assert [header["n"] for header in serve(context, tmp_path, test).handled] == [1, 2]


@pytest.mark.parametrize("version", ["9.9.9", None, 7, "x" * 1000])
def test_another_version_of_the_protocol_is_refused_with_both_versions(
    context: zmq.Context[Any], tmp_path: Path, version: object
) -> None:
    async def test(_: Server, talk: Talk) -> None:
        talk.send({**talk.hello, "version": 999, "kernelfleet": version})
        reason = (await talk.receive("refused"))["reason"]
        named = version if version == "9.9.9" else "(unknown)"
        assert f"this client kernelfleet {named}, protocol 999" in reason
        assert f"runs kernelfleet {__version__}, protocol {PROTOCOL_VERSION}" in reason

    assert not serve(context, tmp_path, test).peers


def test_the_old_protocol_is_refused_in_its_own_words(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(_: Server, talk: Talk) -> None:
        talk.send({"type": "hello", "version": 1, "ack": 0})
        assert (
            "this client kernelfleet (unknown), protocol 1:"
            in (await talk.receive("refused"))["reason"]
        )

    assert not serve(context, tmp_path, test).peers


@pytest.mark.parametrize(
    "fields",
    [{"client": None}, {"client": ""}, {"client": "x" * 101}, {"nonce": 7}, {"type": "request"}],
    ids=repr,
)
def test_a_hello_that_is_none_is_counted_and_not_answered(
    context: zmq.Context[Any], tmp_path: Path, fields: dict[str, Any]
) -> None:
    async def test(server: Server, talk: Talk) -> None:
        talk.send({**talk.hello, **fields})
        await talk.open()
        assert server.refused == 1

    serve(context, tmp_path, test)


def test_a_line_that_was_not_opened_can_ask_nothing(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(server: Server, talk: Talk) -> None:
        await talk.greet()
        talk.send({"type": "request", "n": 1, "ack": 0})
        talk.send({"type": "ping", "ack": 0})
        talk.send({"type": "open", "session": None, "ack": 0})
        await talk.receive("welcome")
        assert server.refused == 2

    assert not serve(context, tmp_path, test).handled


def test_lines_that_are_never_opened_take_bounded_memory(
    context: zmq.Context[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_UNOPENED", 3)

    async def test(server: Server, talk: Talk) -> None:
        others = [another(context, talk, f"other {i}") for i in range(10)]
        await talk.open()
        for other in others:
            await other.greet()
            other.socket.close()
        assert len(server._unopened) == 3
        assert len(server._connections) == 4
        talk.send({"type": "ping", "ack": 0})
        await talk.receive("pong")

    serve(context, tmp_path, test)


def test_what_is_not_signed_with_our_key_is_counted_and_not_answered(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(server: Server, talk: Talk) -> None:
        wrong = Codec(b"another key")
        talk.socket.send_multipart(wrong.encode(talk.hello))
        talk.socket.send_multipart([b"garbage"])
        talk.socket.send_multipart([b""] * 20)
        await talk.open()
        assert server.refused == 3

    serve(context, tmp_path, test)


def test_a_client_that_says_goodbye_is_forgotten(context: zmq.Context[Any], tmp_path: Path) -> None:
    async def test(server: Server, talk: Talk) -> None:
        session = (await talk.open())["session"]
        talk.send({"type": "bye", "ack": 0})
        again = another(context, talk)
        assert (await again.open(session))["session"] != session
        again.socket.close()
        assert len(server._connections) == 1

    assert serve(context, tmp_path, test).gone == ["me"]


def test_a_client_that_is_silent_for_long_is_forgotten_and_told_so(
    context: zmq.Context[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(server_module, "CLIENT_TIMEOUT", 0.05)

    async def test(server: Server, talk: Talk) -> None:
        await talk.open()
        await talk.receive("forgotten")
        assert not server._connections

    assert serve(context, tmp_path, test).gone == ["me"]


# -- a session and its lines ------------------------------------------------------------------


def another(context: zmq.Context[Any], talk: Talk, client_id: str = "me") -> Talk:
    return Talk(context, talk.socket.getsockopt_string(zmq.LAST_ENDPOINT), talk.key, client_id)


def test_a_session_goes_on_over_another_line_and_the_first_is_refused_from_then_on(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(server: Server, talk: Talk) -> None:
        session = (await talk.open())["session"]
        talk.send({"type": "request", "n": 1, "ack": 0})
        await talk.receive("reply")
        again = another(context, talk)
        welcome = await again.open(session)
        assert (welcome["session"], welcome["ack"]) == (session, 1)
        assert (await again.receive("reply"))["to"] == 1  # it had not been acknowledged
        talk.send({"type": "request", "n": 2, "ack": 0})
        again.send({"type": "void", "n": 2, "ack": 1})
        again.send({"type": "request", "n": 3, "ack": 1})
        assert (await again.receive("reply"))["to"] == 3
        again.socket.close()
        assert server.refused == 1

    controller = serve(context, tmp_path, test)
    assert [header["n"] for header in controller.handled] == [1, 3]
    assert controller.gone == []


def test_a_client_whose_connection_breaks_again_and_again_is_not_forgotten_while_it_comes_back(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(server: Server, talk: Talk) -> None:
        session = (await talk.open())["session"]
        (peer,) = server._sessions.values()
        for _ in range(2 * GONE_CHECKS):
            following = another(context, talk)
            talk.socket.close()
            await until(lambda: not peer.is_connected())
            server._timer.cancel()
            server._check_clients()
            talk = following
            assert (await talk.open(session))["session"] == session
        talk.socket.close()
        await until(lambda: not peer.is_connected())
        for _ in range(GONE_CHECKS):
            server._timer.cancel()
            server._check_clients()
        assert not server._sessions

    assert serve(context, tmp_path, test).gone == ["me"]


def test_a_reply_for_an_earlier_session_does_not_come_to_the_next(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(server: Server, talk: Talk) -> None:
        controller: Any = server._controller
        await talk.open()
        (before,) = controller.peers
        again = another(context, talk)
        await again.open("of yesterday")
        (now,) = controller.peers.keys() - {before}
        controller.peers[before].deliver({"type": "reply", "to": 1, "of": "before"}, [])
        again.send({"type": "request", "n": 1, "ack": 0})
        assert "of" not in await again.receive("reply")
        assert controller.gone == ["me"]
        assert now != before
        again.socket.close()

    serve(context, tmp_path, test)


def test_what_is_taken_back_and_was_faster_is_handled_once(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(_: Server, talk: Talk) -> None:
        await talk.open()
        talk.send({"type": "request", "n": 1, "ack": 0})
        talk.send({"type": "void", "n": 1, "ack": 0})
        talk.send({"type": "void", "n": 2, "ack": 0})
        talk.send({"type": "request", "n": 2, "ack": 0})
        talk.send({"type": "ping", "ack": 0})
        assert (await talk.receive("pong"))["ack"] == 2

    assert [header["n"] for header in serve(context, tmp_path, test).handled] == [1]


def test_a_client_is_asked_aside_whether_it_lives_and_nothing_else(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(server: Server, talk: Talk) -> None:
        session = (await talk.open())["session"]
        aside = another(context, talk)
        assert (await aside.open(session, side=True))["ack"] == 0
        aside.send({"type": "request", "n": 1, "ack": 0})
        aside.send({"type": "ping", "ack": 0})
        assert (await aside.receive("pong"))["ack"] == 0
        assert server.refused == 1
        talk.send({"type": "request", "n": 1, "ack": 0})
        assert (await talk.receive("reply"))["to"] == 1
        aside.socket.close()

    serve(context, tmp_path, test)


def test_who_asks_aside_for_a_session_that_is_not_there_is_told_it_was_forgotten(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(server: Server, talk: Talk) -> None:
        await talk.open()
        aside = another(context, talk)
        await aside.greet()
        aside.send({"type": "open", "session": "of yesterday", "ack": 0, "side": True})
        await aside.receive("forgotten")
        assert len(server._connections) == 1
        assert not server._unopened
        aside.socket.close()

    assert not serve(context, tmp_path, test).gone


# -- what was captured ------------------------------------------------------------------------


@pytest.mark.parametrize("own", [False, True], ids=["from its hello on", "on a line of one's own"])
@pytest.mark.parametrize("left", [False, True], ids=["while it is there", "after it has left"])
def test_what_was_captured_is_refused_and_counted_on_any_other_line(
    context: zmq.Context[Any], tmp_path: Path, own: bool, left: bool
) -> None:
    async def test(server: Server, talk: Talk) -> None:
        await talk.open()
        talk.send({"type": "request", "n": 1, "ack": 0})
        await talk.receive("reply")
        captured = list(talk.spoken)
        if left:
            talk.send({"type": "bye", "ack": 1})
        thief = another(context, talk, "a thief")
        if own:
            await thief.open()
        for frames in captured:
            thief.say(frames)
        if not own:
            await thief.receive("challenge")  # which it has no key to answer
        await until(lambda: server.refused == len(captured) - (not own))
        if not left:  # and the one who is there is not disturbed
            talk.send({"type": "request", "n": 2, "ack": 0})
            assert (await talk.receive("reply"))["to"] == 2
        thief.socket.close()

    controller = serve(context, tmp_path, test)
    assert [header["n"] for header in controller.handled] == ([1] if left else [1, 2])
    assert controller.gone == (["me"] if left else [])


def test_what_the_controller_said_is_refused_when_it_comes_back_to_it(
    context: zmq.Context[Any], tmp_path: Path
) -> None:
    async def test(server: Server, talk: Talk) -> None:
        await talk.open()
        assert talk.codecs is not None
        talk.say(talk.codecs.to_client.encode({"type": "request", "n": 1, "ack": 0}))
        talk.send({"type": "ping", "ack": 0})
        assert (await talk.receive("pong"))["ack"] == 0
        assert server.refused == 1

    assert not serve(context, tmp_path, test).handled


# -- the door ---------------------------------------------------------------------------------


def test_clients_are_told_when_the_door_closes(context: zmq.Context[Any], tmp_path: Path) -> None:
    async def test(server: Server, talk: Talk) -> None:
        await talk.open()
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
