"""One client as the controller sees it: numbers, credit and resending."""

from __future__ import annotations

from typing import Any

import pytest
import zmq

from kernelfleet.controller.door.sessions import ClientSession, SessionConnection
from kernelfleet.controller.limits import Limits
from kernelfleet.wire import codec
from kernelfleet.wire.chunks import Incoming
from kernelfleet.wire.handshake import line_codecs

MB = 1024 * 1024
CODECS = line_codecs(b"key", "me", "nonce", "challenge")


class RecordingPump:
    """Takes what is sent; knows no peer while it is ``unreachable``."""

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
def peer(pump: RecordingPump) -> ClientSession:
    limits = Limits(credit_bytes=MB, unread_bytes=2 * MB)
    pump.line = SessionConnection(pump, b"id", "me", CODECS)  # type: ignore[arg-type]
    return ClientSession(pump.line, limits)


def test_messages_are_numbered_and_sent_at_once(peer: ClientSession, pump: RecordingPump) -> None:
    for value in "abc":
        peer.deliver({"type": value}, [])
    assert [(header["type"], header["n"]) for header in pump.sent] == [("a", 1), ("b", 2), ("c", 3)]


def test_beyond_its_credit_a_client_gets_nothing_until_it_acknowledges(
    peer: ClientSession, pump: RecordingPump
) -> None:
    for _ in range(5):
        peer.deliver({"type": "x"}, [bytes(400 * 1024)])
    assert pump.numbers == [1, 2]
    peer.sequence.acknowledge(1)
    peer.send_within_credit()
    assert pump.numbers == [1, 2, 3]
    peer.sequence.acknowledge(3)
    peer.send_within_credit()
    assert pump.numbers == [1, 2, 3, 4, 5]


def test_small_messages_pass_a_large_one_that_is_being_read(pump: RecordingPump) -> None:
    line = SessionConnection(pump, b"id", "me", CODECS)  # type: ignore[arg-type]
    peer = ClientSession(line, Limits(credit_bytes=10 * MB))
    peer.deliver({"type": "reply", "to": 1}, [bytes(30 * MB)])
    assert pump.numbers == []  # nobody takes its parts
    for to in (2, 3, 1):
        peer.deliver({"type": "reply", "to": to}, [])
    assert [header["to"] for header in pump.sent] == [2, 3]
    pump.line = line
    for _ in range(4):
        line.decode(CODECS.to_controller.encode(pump.joiner.confirmation))
    assert [header["to"] for header in pump.sent] == [2, 3, 1, 1]


def test_a_message_larger_than_the_credit_is_sent_alone(
    peer: ClientSession, pump: RecordingPump
) -> None:
    peer.deliver({"type": "x"}, [bytes(10 * MB)])
    peer.deliver({"type": "x"}, [b"x"])
    assert pump.numbers == [1]
    peer.sequence.acknowledge(1)
    peer.send_within_credit()
    assert pump.numbers == [1, 2]


def test_what_a_client_lacks_is_sent_again_in_order(
    peer: ClientSession, pump: RecordingPump
) -> None:
    for _ in range(4):
        peer.deliver({"type": "x"}, [])
    pump.sent.clear()
    peer.resend(2)
    assert pump.numbers == [3, 4]
    peer.deliver({"type": "x"}, [])
    assert pump.numbers == [3, 4, 5]


def test_what_was_sent_into_a_broken_connection_comes_with_the_next(
    peer: ClientSession, pump: RecordingPump
) -> None:
    pump.unreachable = True
    peer.deliver({"type": "x"}, [])
    pump.unreachable = False
    peer.resend(0)
    assert pump.numbers == [1]


def test_a_client_that_claims_to_have_what_was_never_sent_misses_nothing(
    peer: ClientSession, pump: RecordingPump
) -> None:
    peer.resend(50)
    peer.deliver({"type": "x"}, [])
    assert pump.numbers == [1]


def test_a_client_that_does_not_read_is_behind_and_then_has_no_room(peer: ClientSession) -> None:
    seen = [(peer.is_behind, peer.has_room)]
    for _ in range(3):
        peer.deliver({"type": "x"}, [bytes(MB)])
        seen.append((peer.is_behind, peer.has_room))
    assert seen == [(False, True), (True, True), (True, True), (True, False)]
    peer.sequence.acknowledge(2)
    assert (peer.is_behind, peer.has_room) == (True, True)
    peer.sequence.acknowledge(3)
    assert not peer.is_behind


def test_headers_count_as_well_as_buffers(peer: ClientSession) -> None:
    peer.deliver({"type": "x"}, [bytes(10 * MB)])
    assert peer.has_room  # the one it is reading does not count
    peer.deliver({"type": "x", "results": [{"error": {"evalue": "x" * 3 * MB}}]}, [])
    assert not peer.has_room


def test_what_cannot_be_sent_is_an_error_in_its_place(
    peer: ClientSession, pump: RecordingPump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "MAX_HEADER_BYTES", 1000)
    peer.deliver({"type": "reply", "to": 7, "results": ["x" * 2000]}, [])
    (sent,) = pump.sent
    assert (sent["n"], sent["to"]) == (1, 7)
    assert "could not be sent: a header of" in sent["refused"]["evalue"]


def test_many_unread_messages_do_not_slow_the_loop_down(pump: RecordingPump) -> None:
    peer = ClientSession(SessionConnection(pump, b"id", "me", CODECS), Limits())  # type: ignore[arg-type]
    for _ in range(20_000):  # 13 s when each looked at all that were there
        peer.deliver({"type": "event"}, [])
    assert len(peer.sequence.unacknowledged) == len(pump.sent) == 20_000


def test_a_pong_says_what_is_under_way_and_goes_where_the_ping_came_from(
    peer: ClientSession, pump: RecordingPump
) -> None:
    for _ in range(3):
        peer.deliver({"type": "x"}, [bytes(600 * 1024)])
    aside = RecordingPump()
    assert peer.pong(SessionConnection(aside, b"side", "me", CODECS))  # type: ignore[arg-type]
    (pong,) = aside.sent
    assert (pong["type"], pong["ack"]) == ("pong", 0)
    assert 600 * 1024 < pong["bytes"] < 602 * 1024
    assert pump.numbers == [1]


def test_a_peer_is_connected_as_long_as_one_of_its_lines_is(
    peer: ClientSession, pump: RecordingPump
) -> None:
    assert peer.is_connected()
    pump.unreachable = True
    assert not peer.is_connected()
    peer.side = SessionConnection(RecordingPump(), b"side", "me", CODECS)  # type: ignore[arg-type]
    assert peer.is_connected()
