"""Exactly once and in order, whatever a network does to the frames."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelfleet.wire import sequence as sequence_module
from kernelfleet.wire.sequence import Sequence

Packet = dict[str, Any]


class Wire:
    """Two peers and the frames under way, which a test may lose, double and reorder."""

    def __init__(self) -> None:
        self.peers = (Sequence(), Sequence())
        self.under_way: tuple[deque[Packet], deque[Packet]] = (deque(), deque())
        self.delivered: tuple[list[int], list[int]] = ([], [])
        self.sent = [0, 0]

    def send(self, peer: int) -> None:
        self.sent[peer] += 1
        header = self.peers[peer].number({"type": "x", "value": self.sent[peer]}, [], 10)
        self._transmit(peer, header)

    def _transmit(self, peer: int, header: Packet) -> None:
        self.under_way[peer].append({**header, "ack": self.peers[peer].received})

    def arrive(self, peer: int, position: int) -> None:
        """One of the frames that ``peer`` has sent arrives."""
        frames = self.under_way[peer]
        header = frames[position % len(frames)]
        del frames[position % len(frames)]
        receiver = 1 - peer
        verdict = self.peers[receiver].accept(header)
        if header["type"] == "resend":
            self.resend(receiver, header["ack"])
        elif verdict == "deliver" and header["type"] != "void":
            self.delivered[receiver].append(header["value"])
        elif verdict == "gap":
            self._transmit(receiver, {"type": "resend"})

    def resend(self, peer: int, received: int) -> None:
        lacking = [sent for sent in self.peers[peer].unacknowledged if sent.n > received]
        for sent in lacking:
            self._transmit(peer, sent.header)

    def reconnect(self) -> None:
        """A connection breaks: all under way is lost, and each tells what it has."""
        for peer in (0, 1):
            self.under_way[peer].clear()
        for peer in (0, 1):
            self.resend(peer, self.peers[1 - peer].received)

    def happen(self, action: str, peer: int, position: int) -> None:
        """One thing happens; to frames nothing if there are none."""
        frames = self.under_way[peer]
        if action == "send":
            self.send(peer)
        elif action == "reconnect":
            self.reconnect()
        elif frames and action == "arrive":
            self.arrive(peer, position)
        elif frames and action == "lose":
            del frames[position % len(frames)]
        elif frames and action == "double":
            frames.append(frames[position % len(frames)])

    def settle(self) -> None:
        while self.under_way[0] or self.under_way[1]:
            self.arrive(0 if self.under_way[0] else 1, 0)


actions = st.tuples(
    st.sampled_from(["send", "arrive", "lose", "double", "reconnect"]),
    st.integers(0, 1),
    st.integers(0, 20),
)


@settings(max_examples=300)
@given(st.lists(actions, max_size=60))
def test_loss_duplication_and_reordering_end_in_exactly_once_in_order(
    steps: list[tuple[str, int, int]],
) -> None:
    wire = Wire()
    for step in steps:
        wire.happen(*step)
        for receiver in (0, 1):  # never a gap, never twice, at no time
            assert wire.delivered[receiver] == list(range(1, len(wire.delivered[receiver]) + 1))
    wire.reconnect()
    wire.settle()
    for peer in (0, 1):
        assert wire.delivered[1 - peer] == list(range(1, wire.sent[peer] + 1))


@given(st.integers(0, 30), st.lists(st.integers(0, 40), max_size=10))
def test_acknowledging_forgets_exactly_what_the_peer_has(count: int, acks: list[int]) -> None:
    sequence = Sequence()
    for _ in range(count):
        sequence.number({"type": "x"}, [], 7)
    for ack in acks:
        sequence.acknowledge(ack)
    kept = list(range(min(max(acks, default=0), count) + 1, count + 1))
    assert [sent.n for sent in sequence.unacknowledged] == kept
    assert sequence.unacknowledged_bytes == 7 * len(kept)


@settings(max_examples=300)
@given(st.lists(actions | st.tuples(st.just("take back"), st.just(0), st.just(0)), max_size=60))
def test_what_is_taken_back_arrives_once_in_order_or_never(
    steps: list[tuple[str, int, int]],
) -> None:
    wire, taken_back = Wire(), set()
    for action, peer, position in steps:
        if action == "take back":
            taken_back |= {sent.n for sent in wire.peers[0].unacknowledged}
            wire.peers[0].take_back()
            assert wire.peers[0].unacknowledged_bytes == 0
        else:
            wire.happen(action, peer, position)
    wire.reconnect()
    wire.settle()
    assert wire.delivered[0] == list(range(1, wire.sent[1] + 1))
    arrived = wire.delivered[1]
    assert arrived == sorted(set(arrived))
    assert set(range(1, wire.sent[0] + 1)) - set(arrived) <= taken_back


def test_messages_without_a_number_pass_and_acknowledge() -> None:
    sequence = Sequence()
    sequence.number({"type": "x"}, [], 5)
    assert sequence.accept({"type": "pong", "ack": 1}) == "deliver"
    assert not sequence.unacknowledged


def test_a_resend_carries_the_very_buffers() -> None:
    sequence = Sequence()
    data = bytearray(10)
    sequence.number({"type": "x"}, [data], 10)
    assert sequence.unacknowledged[0].buffers[0] is data
    sequence.accept({"type": "pong", "ack": 1})
    assert not sequence.unacknowledged


free = st.tuples(st.sampled_from(["send", "send free", "arrive", "lose", "double", "reconnect"]),
                 st.integers(0, 1), st.integers(0, 20))  # fmt: skip


@settings(max_examples=300)
@given(st.lists(free, max_size=60))
def test_what_is_free_arrives_once_and_the_rest_once_in_order(
    steps: list[tuple[str, int, int]],
) -> None:
    wire = Wire()
    free_ones: tuple[set[int], set[int]] = (set(), set())
    for action, peer, position in steps:
        frames = wire.under_way[peer]
        if action.startswith("send"):
            wire.send(peer)
            if action == "send free":
                free_ones[peer].add(wire.sent[peer])
                frames[-1]["free"] = True
                frames.appendleft(frames.pop())
        elif action == "reconnect":
            wire.reconnect()
        elif frames and action == "arrive":
            wire.arrive(peer, position)
        elif frames and action == "lose":
            del frames[position % len(frames)]
        elif frames and action == "double":
            frames.append(frames[position % len(frames)])
        for receiver in (0, 1):
            arrived = wire.delivered[receiver]
            assert len(arrived) == len(set(arrived))
            bound = [n for n in arrived if n not in free_ones[1 - receiver]]
            assert bound == sorted(bound)
    wire.reconnect()
    wire.settle()
    for peer in (0, 1):
        assert sorted(wire.delivered[1 - peer]) == list(range(1, wire.sent[peer] + 1))
        assert not wire.peers[peer].early
        assert wire.peers[peer].received == wire.sent[1 - peer]


def test_how_many_may_come_early_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_module, "MAX_EARLY", 2)
    sequence = Sequence()
    verdicts = [sequence.accept({"n": n, "free": True}) for n in (5, 3, 5, 2)]
    assert verdicts == ["deliver", "deliver", "duplicate", "gap"]
    assert sequence.accept({"n": 7, "free": 1}) == "gap"
    assert sequence.accept({"n": 1}) == "deliver"
    assert (sequence.received, sequence.early) == (1, {3, 5})
    assert [sequence.accept({"n": n}) for n in (2, 3, 4)] == ["deliver", "duplicate", "deliver"]
    assert (sequence.received, sequence.early) == (5, set())
