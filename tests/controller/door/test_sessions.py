"""One client as the controller sees it: numbers, credit and resending."""

from __future__ import annotations

from typing import Any

import pytest
import zmq

from kernelfleet.controller.door.sessions import ClientSession, SessionConnection
from kernelfleet.controller.limits import Limits
from kernelfleet.wire import codec
from kernelfleet.wire.chunks import Incoming
from kernelfleet.wire.handshake import connection_codecs

MB = 1024 * 1024
CODECS = connection_codecs(b"key", "me", "nonce", "challenge")


class RecordingPump:
    """Takes what is sent; finds nobody while it is ``unreachable``."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.unreachable = False
        self.joiner = Incoming()
        #: Whether parts are confirmed as they come.
        self.line: SessionConnection | None = None

    def send(self, frames: list[Any]) -> None:
        if self.unreachable:
            raise zmq.ZMQError(zmq.EHOSTUNREACH)
        header, buffers = CODECS.to_client.decode(frames[1:])
        if header["type"] == "part":
            whole = self.joiner.take(header, buffers)
            if self.line is not None:
                self.line.decode(CODECS.to_controller.encode(self.joiner.confirmation))
            if whole is None:
                return
            header, _ = CODECS.to_client.decode(whole)
        self.sent.append(header)

    @property
    def numbers(self) -> list[int]:
        return [header["n"] for header in self.sent]


@pytest.fixture
def pump() -> RecordingPump:
    return RecordingPump()


@pytest.fixture
def session(pump: RecordingPump) -> ClientSession:
    limits = Limits(credit_bytes=MB, unread_bytes=2 * MB)
    pump.line = SessionConnection(pump, b"id", "me", CODECS)  # type: ignore[arg-type]
    return ClientSession(pump.line, limits)


def test_messages_are_numbered_and_sent_at_once(
    session: ClientSession, pump: RecordingPump
) -> None:
    for value in "abc":
        session.deliver({"type": value}, [])
    assert [(header["type"], header["n"]) for header in pump.sent] == [("a", 1), ("b", 2), ("c", 3)]


def test_beyond_its_credit_a_client_gets_nothing_until_it_acknowledges(
    session: ClientSession, pump: RecordingPump
) -> None:
    for _ in range(5):
        session.deliver({"type": "x"}, [bytes(400 * 1024)])
    assert pump.numbers == [1, 2]
    session.sequence.acknowledge(1)
    session.send_within_credit()
    assert pump.numbers == [1, 2, 3]
    session.sequence.acknowledge(3)
    session.send_within_credit()
    assert pump.numbers == [1, 2, 3, 4, 5]


def test_small_messages_pass_a_large_one_that_is_being_read(pump: RecordingPump) -> None:
    line = SessionConnection(pump, b"id", "me", CODECS)  # type: ignore[arg-type]
    session = ClientSession(line, Limits(credit_bytes=10 * MB))
    session.deliver({"type": "reply", "to": 1}, [bytes(30 * MB)])
    assert pump.numbers == []  # nobody takes its parts
    for to in (2, 3, 1):
        session.deliver({"type": "reply", "to": to}, [])
    assert [header["to"] for header in pump.sent] == [2, 3]
    pump.line = line
    for _ in range(4):
        line.decode(CODECS.to_controller.encode(pump.joiner.confirmation))
    assert [header["to"] for header in pump.sent] == [2, 3, 1, 1]


def test_a_message_larger_than_the_credit_is_sent_alone(
    session: ClientSession, pump: RecordingPump
) -> None:
    session.deliver({"type": "x"}, [bytes(10 * MB)])
    session.deliver({"type": "x"}, [b"x"])
    assert pump.numbers == [1]
    session.sequence.acknowledge(1)
    session.send_within_credit()
    assert pump.numbers == [1, 2]


def test_what_a_client_lacks_is_sent_again_in_order(
    session: ClientSession, pump: RecordingPump
) -> None:
    for _ in range(4):
        session.deliver({"type": "x"}, [])
    pump.sent.clear()
    session.resend(2)
    assert pump.numbers == [3, 4]
    session.deliver({"type": "x"}, [])
    assert pump.numbers == [3, 4, 5]


def test_what_was_sent_into_a_broken_connection_comes_with_the_next(
    session: ClientSession, pump: RecordingPump
) -> None:
    pump.unreachable = True
    session.deliver({"type": "x"}, [])
    pump.unreachable = False
    session.resend(0)
    assert pump.numbers == [1]


def test_a_client_that_claims_to_have_what_was_never_sent_misses_nothing(
    session: ClientSession, pump: RecordingPump
) -> None:
    session.resend(50)
    session.deliver({"type": "x"}, [])
    assert pump.numbers == [1]


def test_a_client_that_does_not_read_is_behind_and_then_has_no_room(session: ClientSession) -> None:
    seen = [(session.is_behind, session.has_room)]
    for _ in range(3):
        session.deliver({"type": "x"}, [bytes(MB)])
        seen.append((session.is_behind, session.has_room))
    assert seen == [(False, True), (True, True), (True, True), (True, False)]
    session.sequence.acknowledge(2)
    assert (session.is_behind, session.has_room) == (True, True)
    session.sequence.acknowledge(3)
    assert not session.is_behind


def test_headers_count_as_well_as_buffers(session: ClientSession) -> None:
    session.deliver({"type": "x"}, [bytes(10 * MB)])
    assert session.has_room  # the one it is reading does not count
    session.deliver({"type": "x", "results": [{"error": {"evalue": "x" * 3 * MB}}]}, [])
    assert not session.has_room


def test_what_cannot_be_sent_is_an_error_in_its_place(
    session: ClientSession, pump: RecordingPump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "MAX_HEADER_BYTES", 1000)
    session.deliver({"type": "reply", "to": 7, "results": ["x" * 2000]}, [])
    (sent,) = pump.sent
    assert (sent["n"], sent["to"]) == (1, 7)
    assert "could not be sent: a header of" in sent["refused"]["evalue"]


def test_many_unread_messages_do_not_slow_the_loop_down(pump: RecordingPump) -> None:
    session = ClientSession(SessionConnection(pump, b"id", "me", CODECS), Limits())  # type: ignore[arg-type]
    for _ in range(20_000):  # 13 s when each looked at all that were there
        session.deliver({"type": "event"}, [])
    assert len(session.sequence.unacknowledged) == len(pump.sent) == 20_000


def test_a_pong_says_what_is_under_way_and_goes_where_the_ping_came_from(
    session: ClientSession, pump: RecordingPump
) -> None:
    for _ in range(3):
        session.deliver({"type": "x"}, [bytes(600 * 1024)])
    aside = RecordingPump()
    assert session.pong(SessionConnection(aside, b"side", "me", CODECS))  # type: ignore[arg-type]
    (pong,) = aside.sent
    assert (pong["type"], pong["ack"]) == ("pong", 0)
    assert 600 * 1024 < pong["bytes"] < 602 * 1024
    assert pump.numbers == [1]


def test_a_session_is_connected_as_long_as_one_of_its_connections_is(
    session: ClientSession, pump: RecordingPump
) -> None:
    assert session.is_connected()
    pump.unreachable = True
    assert not session.is_connected()
    session.probe = SessionConnection(RecordingPump(), b"side", "me", CODECS)  # type: ignore[arg-type]
    assert session.is_connected()
