"""transport.py: in memory, and the life of a session over connections that break.

Sockets with a controller behind them are in tests/conformance, over all transports.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from kernelfleet.controller.controller import Controller
from kernelfleet.session import loop, transport
from kernelfleet.session.connection import Connection, Endpoint
from kernelfleet.session.transport import (
    EmbeddedTransport,
    SocketTransport,
)
from kernelfleet.wire.files.connection_file import FleetFile


class Listener:
    """Notes what arrives."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, Any], list[Any]]] = []
        self.reasons: list[str] = []
        self.gone = threading.Event()
        self.is_waiting = True

    def receive(self, header: dict[str, Any], buffers: list[Any]) -> None:
        self.received.append((header, buffers))

    def away(self, reason: str) -> None:
        self.reasons.append(reason)

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)
        self.gone.set()


class Echo:
    """A controller that gives back what it gets."""

    def __init__(self) -> None:
        self.peer: Any = None
        self.left: list[str] = []

    def connect(self, client_id: str, peer: Any) -> dict[str, Any]:
        self.peer = peer
        return {"type": "welcome", "client": client_id}

    def handle(self, client_id: str, header: dict[str, Any], buffers: list[Any]) -> None:
        self.peer.deliver({"echo": header, "of": client_id}, buffers)

    def disconnect(self, client_id: str) -> None:
        self.left.append(client_id)


def test_messages_are_handed_over_in_memory_with_numbers() -> None:
    controller, listener = Echo(), Listener()
    embedded = EmbeddedTransport(cast(Controller, controller), "me", listener)
    for frames in ([b"frame"], []):
        embedded.send(embedded.number({"type": "request"}, frames), frames)
    assert listener.received == [
        ({"type": "welcome", "client": "me"}, []),
        ({"echo": {"type": "request", "n": 1}, "of": "me"}, [b"frame"]),
        ({"echo": {"type": "request", "n": 2}, "of": "me"}, []),
    ]


def test_nothing_passes_a_closed_embedded_transport() -> None:
    controller, listener = Echo(), Listener()
    embedded = EmbeddedTransport(cast(Controller, controller), "me", listener)
    embedded.close()
    embedded.close()
    embedded.send(embedded.number({"type": "request"}, []), [])
    embedded.deliver({"type": "reply"}, [])
    assert controller.left == ["me"]
    assert len(listener.received) == 1


@pytest.mark.parametrize("stopped", [False, True])
def test_a_socket_gives_up_on_a_controller_that_is_not_there_or_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    door = tmp_path / "nobody.sock"
    mute = socket.socket(socket.AF_UNIX)
    if stopped:  # the system takes connections for it as long as there is room
        mute.bind(str(door))
        mute.listen()
    monkeypatch.setattr(transport, "TICK_SECONDS", 0.005)
    thread, listener = loop.acquire(), Listener()
    fleet = FleetFile("gone", 1, "here", 0.0, key="00" * 32)

    def open_socket() -> None:
        url = f"ipc://{door}"
        SocketTransport(Endpoint(thread.loop, thread.context, fleet, url, "me"), listener)

    thread.call(open_socket)
    assert listener.gone.wait(10)
    loop.release(thread)
    mute.close()
    assert listener.reasons == [transport.SILENT if stopped else transport.NOBODY]
    assert listener.received == []


# -- a session and its connections, without a socket ------------------------------------------


class Wire(Connection):
    """A connection whose controller is the test."""

    made: ClassVar[list[Wire]] = []

    def __init__(self, endpoint: Endpoint, user: Any) -> None:
        self.user, self.closed = user, False
        self.sent: list[dict[str, Any]] = []
        self.is_ready = True
        self.made.append(self)

    def send(self, header: dict[str, Any], frames: list[Any]) -> None:
        assert not self.closed
        self.sent.append(header)

    def close(self, linger: float = 0.0) -> None:
        self.closed = True

    def open(self, session: str = "s", ack: int = 0, instance: str = "i") -> None:
        """Let it come up, as far as the welcome."""
        for phase in ("connected", "greeted"):
            self.user.connection_progressed(self, phase)
        self.user.connection_ready(self)
        self.hear({"type": "welcome", "session": session, "instance": instance, "ack": ack})

    def hear(self, header: dict[str, Any]) -> None:
        self.user.connection_received(self, {"ack": 0, **header}, [])

    @property
    def numbers(self) -> list[int]:
        """The numbers of what was sent on it."""
        return [header["n"] for header in self.sent if "n" in header]


class Clock:
    """A loop whose time the test makes pass."""

    def __init__(self) -> None:
        self.due: Callable[[], object] = lambda: None

    def call_later(self, _: float, function: Callable[[], object]) -> Clock:
        self.due = function
        return self

    def cancel(self) -> None:
        self.due = lambda: None

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.due()


class Session:
    """A transport, what it tells, and the connection it has now."""

    def __init__(self) -> None:
        Wire.made.clear()
        self.clock, self.listener, self.gone = Clock(), Listener(), ""
        fleet = FleetFile("x", 1, "here", 0.0, key="00" * 32)
        endpoint = Endpoint(cast(Any, self.clock), cast(Any, None), fleet, "ipc://x", "me")
        self.transport = SocketTransport(endpoint, self.listener, lambda: self.gone or None)

    @property
    def connection(self) -> Wire:
        return Wire.made[-1]

    def ask(self, count: int = 1) -> None:
        for _ in range(count):
            self.transport.send(self.transport.number({"type": "request"}, []), [])

    def break_connection(self) -> None:
        self.connection.user.connection_broken(self.connection)

    def go_away(self) -> None:
        self.clock.tick(10)
        assert self.listener.reasons


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(transport, "Connection", Wire)
    return Session()


def test_what_is_asked_before_the_welcome_is_sent_after_it(session: Session) -> None:
    session.ask(2)
    assert not session.connection.numbers
    session.connection.open()
    assert session.connection.numbers == [1, 2]
    assert session.listener.received[0][0]["type"] == "welcome"


def test_over_the_next_line_goes_what_the_controller_lacks_and_no_second_welcome(
    session: Session,
) -> None:
    session.connection.open()
    session.ask(3)
    session.connection.hear({"type": "reply", "n": 1, "to": 1, "ack": 1})
    first = session.connection
    session.break_connection()
    assert first.closed
    assert session.connection is not first
    session.ask()
    assert not session.connection.numbers
    session.connection.open(ack=2)
    assert session.connection.sent[0]["session"] == "s"
    assert session.connection.sent[0]["ack"] == 1
    assert session.connection.numbers == [3, 4]
    session.connection.hear({"type": "reply", "n": 1, "to": 1})  # again
    session.connection.hear({"type": "reply", "n": 2, "to": 2})
    assert [header.get("to") for header, _ in session.listener.received] == [None, 1, 2]
    assert not session.listener.reasons


def test_after_an_outage_what_was_under_way_is_taken_back_and_numbers_go_on(
    session: Session,
) -> None:
    session.connection.open()
    session.ask(2)
    session.go_away()
    session.connection.open(ack=1)
    assert [(header["type"], header["n"]) for header in session.connection.sent[1:]] == [
        ("void", 2)
    ]
    assert session.listener.received[-1][0]["type"] == "welcome"
    session.ask()
    assert session.connection.sent[-1] == {"type": "request", "n": 3, "ack": 0}


@pytest.mark.parametrize("probe", [False, True])
def test_who_was_forgotten_starts_a_session_of_its_own_accord(
    session: Session, probe: bool
) -> None:
    session.connection.open()
    session.ask(2)
    session.connection.hear({"type": "event", "n": 1, "event": "x", "ack": 2})
    if probe:
        session.listener.is_waiting = True
        session.clock.tick(4)
    session.connection.hear({"type": "forgotten"})
    assert all(connection.closed for connection in Wire.made[:-1])
    session.connection.open(session="another")
    assert session.listener.reasons == [transport.FORGOTTEN]
    assert session.listener.received[-1][0]["session"] == "another"
    assert not session.connection.numbers
    session.ask()
    assert session.connection.sent[-1] == {"type": "request", "n": 1, "ack": 0}


@pytest.mark.parametrize("how", ["another instance", "stopped", "successor"])
def test_what_will_never_come_back_is_given_up_with_its_cause(session: Session, how: str) -> None:
    session.connection.open()
    if how == "another instance":
        session.break_connection()
        session.connection.open(instance="another")
    elif how == "stopped":
        session.connection.hear({"type": "event", "n": 1, "event": "stopped"})
    else:
        session.gone = "it is another's now"
        session.ask()
        session.clock.tick(10)
    causes = {
        "another instance": "restarted",
        "stopped": "was stopped",
        "successor": "another's now",
    }
    assert causes[how] in session.listener.reasons[-1]
    assert all(connection.closed for connection in Wire.made)
    made = len(Wire.made)
    session.clock.tick(50)
    session.ask()
    assert len(Wire.made) == made


def test_over_a_silent_connection_the_controller_is_asked_by_a_probe_for_the_same_session(
    session: Session,
) -> None:
    session.connection.open()
    session.ask()
    main = session.connection
    session.clock.tick(3)
    probe = session.connection
    assert probe is not main
    probe.user.connection_ready(probe)
    assert probe.sent == [{"type": "open", "session": "s", "ack": 0, "side": True}]
    for _ in range(15):
        session.clock.tick()
        probe.hear({"type": "pong", "bytes": 10**9})
    assert not session.listener.reasons
    assert not main.closed
    probe.user.connection_broken(probe)
    session.clock.tick()
    assert session.connection not in (main, probe)
    assert not main.closed


def test_a_refusal_ends_the_first_attempt_and_is_a_broken_connection_later(
    session: Session,
) -> None:
    session.connection.open()
    session.break_connection()
    session.connection.user.connection_progressed(session.connection, "connected")
    session.connection.user.connection_refused(session.connection, "another server key")
    session.clock.tick(12)
    assert session.listener.reasons == ["another server key"]
    session.connection.open()
    assert session.listener.received[-1][0]["type"] == "welcome"
    first = Session()
    first.connection.user.connection_refused(first.connection, "another server key")
    assert first.listener.reasons == ["another server key"]
    assert first.connection.closed


def test_doubts_about_who_is_there_end_the_first_attempt_at_the_third(session: Session) -> None:
    for _ in range(3):
        assert not session.listener.reasons
        session.clock.tick()
        session.connection.user.connection_progressed(session.connection, "connected")
        session.connection.user.connection_doubted(session.connection, "another server key?")
        session.break_connection()
    assert session.listener.reasons == ["another server key?"]


def test_who_leaves_says_goodbye_if_there_is_somebody(session: Session) -> None:
    session.connection.open()
    session.transport.close()
    assert session.connection.sent[-1]["type"] == "bye"
    lonely = Session()
    lonely.transport.close()
    lonely.transport.close()
    assert not lonely.connection.sent
