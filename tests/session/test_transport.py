"""transport.py: in memory, and the life of a session over lines that break.

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


# -- a session and its lines, without a socket ------------------------------------------------


class Wire(Connection):
    """A line whose controller is the test."""

    made: ClassVar[list[Wire]] = []

    def __init__(self, place: Endpoint, user: Any) -> None:
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
            self.user.line_progressed(self, phase)
        self.user.line_ready(self)
        self.hear({"type": "welcome", "session": session, "instance": instance, "ack": ack})

    def hear(self, header: dict[str, Any]) -> None:
        self.user.line_heard(self, {"ack": 0, **header}, [])

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
    """A transport, what it tells, and the line it has now."""

    def __init__(self) -> None:
        Wire.made.clear()
        self.clock, self.listener, self.gone = Clock(), Listener(), ""
        fleet = FleetFile("x", 1, "here", 0.0, key="00" * 32)
        place = Endpoint(cast(Any, self.clock), cast(Any, None), fleet, "ipc://x", "me")
        self.transport = SocketTransport(place, self.listener, lambda: self.gone or None)

    @property
    def line(self) -> Wire:
        return Wire.made[-1]

    def ask(self, count: int = 1) -> None:
        for _ in range(count):
            self.transport.send(self.transport.number({"type": "request"}, []), [])

    def break_line(self) -> None:
        self.line.user.line_broken(self.line)

    def go_away(self) -> None:
        self.clock.tick(10)
        assert self.listener.reasons


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(transport, "Connection", Wire)
    return Session()


def test_what_is_asked_before_the_welcome_is_sent_after_it(session: Session) -> None:
    session.ask(2)
    assert not session.line.numbers
    session.line.open()
    assert session.line.numbers == [1, 2]
    assert session.listener.received[0][0]["type"] == "welcome"


def test_over_the_next_line_goes_what_the_controller_lacks_and_no_second_welcome(
    session: Session,
) -> None:
    session.line.open()
    session.ask(3)
    session.line.hear({"type": "reply", "n": 1, "to": 1, "ack": 1})
    first = session.line
    session.break_line()
    assert first.closed
    assert session.line is not first
    session.ask()
    assert not session.line.numbers
    session.line.open(ack=2)
    assert session.line.sent[0]["session"] == "s"
    assert session.line.sent[0]["ack"] == 1
    assert session.line.numbers == [3, 4]
    session.line.hear({"type": "reply", "n": 1, "to": 1})  # again
    session.line.hear({"type": "reply", "n": 2, "to": 2})
    assert [header.get("to") for header, _ in session.listener.received] == [None, 1, 2]
    assert not session.listener.reasons


def test_after_an_outage_what_was_under_way_is_taken_back_and_numbers_go_on(
    session: Session,
) -> None:
    session.line.open()
    session.ask(2)
    session.go_away()
    session.line.open(ack=1)
    assert [(header["type"], header["n"]) for header in session.line.sent[1:]] == [("void", 2)]
    assert session.listener.received[-1][0]["type"] == "welcome"
    session.ask()
    assert session.line.sent[-1] == {"type": "request", "n": 3, "ack": 0}


@pytest.mark.parametrize("aside", [False, True])
def test_who_was_forgotten_starts_a_session_of_its_own_accord(
    session: Session, aside: bool
) -> None:
    session.line.open()
    session.ask(2)
    session.line.hear({"type": "event", "n": 1, "event": "x", "ack": 2})
    if aside:
        session.listener.is_waiting = True
        session.clock.tick(4)
    session.line.hear({"type": "forgotten"})
    assert all(line.closed for line in Wire.made[:-1])
    session.line.open(session="another")
    assert session.listener.reasons == [transport.FORGOTTEN]
    assert session.listener.received[-1][0]["session"] == "another"
    assert not session.line.numbers
    session.ask()
    assert session.line.sent[-1] == {"type": "request", "n": 1, "ack": 0}


@pytest.mark.parametrize("how", ["another instance", "stopped", "successor"])
def test_what_will_never_come_back_is_given_up_with_its_cause(session: Session, how: str) -> None:
    session.line.open()
    if how == "another instance":
        session.break_line()
        session.line.open(instance="another")
    elif how == "stopped":
        session.line.hear({"type": "event", "n": 1, "event": "stopped"})
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
    assert all(line.closed for line in Wire.made)
    made = len(Wire.made)
    session.clock.tick(50)
    session.ask()
    assert len(Wire.made) == made


def test_a_silent_line_is_asked_aside_over_a_second_one_for_the_same_session(
    session: Session,
) -> None:
    session.line.open()
    session.ask()
    main = session.line
    session.clock.tick(3)
    aside = session.line
    assert aside is not main
    aside.user.line_ready(aside)
    assert aside.sent == [{"type": "open", "session": "s", "ack": 0, "side": True}]
    for _ in range(15):
        session.clock.tick()
        aside.hear({"type": "pong", "bytes": 10**9})
    assert not session.listener.reasons
    assert not main.closed
    aside.user.line_broken(aside)
    session.clock.tick()
    assert session.line not in (main, aside)
    assert not main.closed


def test_a_refusal_ends_the_first_attempt_and_is_a_broken_line_later(session: Session) -> None:
    session.line.open()
    session.break_line()
    session.line.user.line_progressed(session.line, "connected")
    session.line.user.line_refused(session.line, "another server key")
    session.clock.tick(12)
    assert session.listener.reasons == ["another server key"]
    session.line.open()
    assert session.listener.received[-1][0]["type"] == "welcome"
    first = Session()
    first.line.user.line_refused(first.line, "another server key")
    assert first.listener.reasons == ["another server key"]
    assert first.line.closed


def test_doubts_about_who_is_there_end_the_first_attempt_at_the_third(session: Session) -> None:
    for _ in range(3):
        assert not session.listener.reasons
        session.clock.tick()
        session.line.user.line_progressed(session.line, "connected")
        session.line.user.line_doubted(session.line, "another server key?")
        session.break_line()
    assert session.listener.reasons == ["another server key?"]


def test_who_leaves_says_goodbye_if_there_is_somebody(session: Session) -> None:
    session.line.open()
    session.transport.close()
    assert session.line.sent[-1]["type"] == "bye"
    lonely = Session()
    lonely.transport.close()
    lonely.transport.close()
    assert not lonely.line.sent
