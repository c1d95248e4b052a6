"""One client as the controller sees it: numbers, credit and resending."""

from __future__ import annotations

from typing import Any

import pytest
import zmq

from kernelfleet.controller import peers
from kernelfleet.controller.peers import Line, WirePeer
from kernelfleet.wire.handshake import line_codecs

CODECS = line_codecs(b"key", "me", "nonce", "challenge")


class RecordingPump:
    """Takes what is sent; knows no peer while it is ``unreachable``."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.unreachable = False

    def send(self, frames: list[Any]) -> None:
        if self.unreachable:
            raise zmq.ZMQError(zmq.EHOSTUNREACH)
        self.sent.append(CODECS.to_client.decode(frames[1:])[0])

    @property
    def numbers(self) -> list[int]:
        return [head["n"] for head in self.sent]


@pytest.fixture
def pump() -> RecordingPump:
    return RecordingPump()


@pytest.fixture
def peer(pump: RecordingPump) -> WirePeer:
    return WirePeer(Line(pump, b"id", "me", CODECS))  # type: ignore[arg-type]


def test_messages_are_numbered_and_sent_at_once(peer: WirePeer, pump: RecordingPump) -> None:
    for value in "abc":
        peer.deliver({"type": value}, [])
    assert [(head["type"], head["n"]) for head in pump.sent] == [("a", 1), ("b", 2), ("c", 3)]


def test_beyond_its_credit_a_client_gets_nothing_until_it_acknowledges(
    peer: WirePeer, pump: RecordingPump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "CREDIT_BYTES", 100)
    for _ in range(5):
        peer.deliver({"type": "x"}, [b"x" * 40])
    assert pump.numbers == [1, 2]
    peer.sequence.acknowledge(1)
    peer.send_within_credit()
    assert pump.numbers == [1, 2, 3]
    peer.sequence.acknowledge(3)
    peer.send_within_credit()
    assert pump.numbers == [1, 2, 3, 4, 5]


def test_a_message_larger_than_the_credit_is_sent_alone(
    peer: WirePeer, pump: RecordingPump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "CREDIT_BYTES", 100)
    peer.deliver({"type": "x"}, [b"x" * 1000])
    peer.deliver({"type": "x"}, [b"x"])
    assert pump.numbers == [1]
    peer.sequence.acknowledge(1)
    peer.send_within_credit()
    assert pump.numbers == [1, 2]


def test_what_a_client_lacks_is_sent_again_in_order(peer: WirePeer, pump: RecordingPump) -> None:
    for _ in range(4):
        peer.deliver({"type": "x"}, [])
    pump.sent.clear()
    peer.resend(2)
    assert pump.numbers == [3, 4]
    peer.deliver({"type": "x"}, [])
    assert pump.numbers == [3, 4, 5]


def test_what_was_sent_into_a_broken_connection_comes_with_the_next(
    peer: WirePeer, pump: RecordingPump
) -> None:
    pump.unreachable = True
    peer.deliver({"type": "x"}, [])
    pump.unreachable = False
    peer.resend(0)
    assert pump.numbers == [1]


def test_a_client_that_claims_to_have_what_was_never_sent_misses_nothing(
    peer: WirePeer, pump: RecordingPump
) -> None:
    peer.resend(50)
    peer.deliver({"type": "x"}, [])
    assert pump.numbers == [1]


def test_many_unread_messages_do_not_slow_the_loop_down(
    peer: WirePeer, pump: RecordingPump
) -> None:
    for _ in range(20_000):  # 13 s when each looked at all that were there
        peer.deliver({"type": "event"}, [])
    assert len(peer.sequence.unacknowledged) == len(pump.sent) == 20_000


def test_a_pong_says_what_is_under_way_and_goes_where_the_ping_came_from(
    peer: WirePeer, pump: RecordingPump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "CREDIT_BYTES", 100)
    for _ in range(3):
        peer.deliver({"type": "x"}, [b"x" * 60])
    aside = RecordingPump()
    assert peer.pong(Line(aside, b"side", "me", CODECS))  # type: ignore[arg-type]
    assert aside.sent == [{"type": "pong", "ack": 0, "bytes": 60}]
    assert pump.numbers == [1]


def test_a_peer_is_connected_as_long_as_one_of_its_lines_is(
    peer: WirePeer, pump: RecordingPump
) -> None:
    assert peer.is_connected()
    pump.unreachable = True
    assert not peer.is_connected()
    peer.side = Line(RecordingPump(), b"side", "me", CODECS)  # type: ignore[arg-type]
    assert peer.is_connected()
