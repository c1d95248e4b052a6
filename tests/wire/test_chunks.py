"""Large messages arrive whole whatever their frames are, and nothing larger than agreed travels."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.wire import chunks
from kernelfleet.wire.buffers.arriving import Left
from kernelfleet.wire.buffers.shared_memory import (
    SHARED_BYTES,
    SharedBuffer,
    available,
)
from kernelfleet.wire.chunks import (
    PART_BYTES,
    TCP_FRAME_BYTES,
    UPLINK_BYTES,
    WINDOW_BYTES,
    Incoming,
    Outgoing,
    Uplink,
    fits,
    frame_limit,
)
from kernelfleet.wire.codec import BadMessage, Codec

CODEC = Codec(b"key")
LIMIT = 1000


class Wire:
    """Two ends of a line; what is sent waits until the other end takes it."""

    def __init__(self, limit: int = LIMIT, incoming: Incoming | None = None) -> None:
        self.sent: list[list[Any]] = []
        self.outgoing = Outgoing(CODEC, self.sent.append, limit)
        self.incoming = incoming or Incoming()
        self.arrived: list[tuple[dict[str, Any], list[Any]]] = []
        self.limit = limit
        self.most_under_way = 0

    def send(self, header: dict[str, Any], *buffers: Any) -> None:
        self.outgoing.send(header, buffers)

    def take(self) -> bool:
        """Take one message; whether there was one."""
        self.most_under_way = max(self.most_under_way, sum(map(size, self.sent)))
        if not self.sent:
            return False
        frames = self.sent.pop(0)
        assert max(len(memoryview(frame)) for frame in frames) <= self.limit
        header, buffers = CODEC.decode([bytes(frame) for frame in frames])
        if header["type"] != "part":
            self.arrived.append((header, buffers))
            return True
        whole = self.incoming.take(header, buffers)
        if whole is not None:
            self.arrived.append(CODEC.decode(whole))
        self.outgoing.confirmed(self.incoming.confirmation)
        return True

    def take_all(self) -> list[tuple[dict[str, Any], list[Any]]]:
        while self.take():
            pass
        return self.arrived


def size(frames: list[Any]) -> int:
    return sum(len(memoryview(frame)) for frame in frames)


def same(arrived: list[Any], sent: list[bytes]) -> bool:
    return [
        bytes(each.view() if isinstance(each, SharedBuffer) else each) for each in arrived
    ] == sent


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3000),
            st.lists(st.sampled_from([0, 1, 999, 1000, 1001, 2500]), max_size=4),
        ),
        max_size=6,
    ),
    st.sampled_from([100, 1000, 1024]),
)
def test_messages_of_any_sizes_arrive_whole_and_in_order(
    messages: list[tuple[int, list[int]]], part: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "PART_BYTES", part)
        patch.setattr(chunks, "WINDOW_BYTES", 3 * part)
        wire, expected = Wire(), []
        for number, (head_bytes, sizes) in enumerate(messages):
            buffers = [os.urandom(n) for n in sizes]
            expected.append((number, head_bytes, buffers))
            wire.send({"type": "x", "n": number, "text": "y" * head_bytes}, *buffers)
        for (header, arrived), (number, head_bytes, buffers) in zip(
            wire.take_all(), expected, strict=True
        ):
            assert (header["n"], len(header["text"])) == (number, head_bytes)
            assert same(arrived, buffers)


def test_a_small_message_travels_as_it_is() -> None:
    wire = Wire()
    data = bytes(LIMIT)
    wire.send({"type": "x"}, data)
    assert wire.sent == [CODEC.encode({"type": "x"}, [data])]
    assert wire.sent[0][2] is data


@pytest.mark.parametrize(
    ("frames", "yes"),
    [([b"x" * LIMIT] * 3, True), ([b"x" * (LIMIT + 1)], False), ([b"x" * LIMIT] * 1100, False),
     ([memoryview(bytes(4 * LIMIT)).cast("I")], False), ([], True)],
)  # fmt: skip
def test_what_fits(frames: list[Any], yes: bool) -> None:
    assert fits(frames, LIMIT) is yes


def test_no_more_than_the_window_is_under_way_and_what_follows_waits_its_turn() -> None:
    wire = Wire(TCP_FRAME_BYTES)
    data = os.urandom(3 * WINDOW_BYTES)
    wire.send({"type": "large"}, data)
    wire.send({"type": "after"})
    for _ in range(10):
        wire.outgoing.pass_by({"type": "between"})
    assert sum(map(size, wire.sent)) < WINDOW_BYTES + 10_000
    arrived = wire.take_all()
    assert [header["type"] for header, _ in arrived] == [*["between"] * 10, "large", "after"]
    assert same(arrived[-2][1], [data])
    assert wire.most_under_way < WINDOW_BYTES + 10_000


def test_lines_that_share_an_uplink_have_less_under_way_and_none_stands_still() -> None:
    uplink, wires = Uplink(), [Wire(TCP_FRAME_BYTES) for _ in range(8)]
    for wire in wires:
        wire.outgoing = Outgoing(CODEC, wire.sent.append, TCP_FRAME_BYTES, uplink)
    data = os.urandom(2 * WINDOW_BYTES)
    assert uplink.window_bytes == WINDOW_BYTES
    for count, wire in enumerate(wires, 1):
        wire.send({"type": "large"}, data)
        assert uplink.window_bytes == max(PART_BYTES, min(WINDOW_BYTES, UPLINK_BYTES // count))
    while [wire for wire in wires if wire.take()]:
        pass
    assert all(same(wire.arrived[0][1], [data]) for wire in wires)
    assert all(wire.most_under_way < PART_BYTES + 10_000 for wire in wires[6:])
    assert uplink.window_bytes == WINDOW_BYTES


def test_a_message_of_many_small_frames_is_cut_too() -> None:
    wire = Wire(TCP_FRAME_BYTES)
    buffers = [bytes([i % 256]) * 100 for i in range(20_000)]
    wire.send({"type": "x"}, *buffers)
    assert len(wire.sent) == 3
    assert same(wire.take_all()[0][1], buffers)


def test_what_is_joined_can_be_written_to() -> None:
    wire = Wire()
    wire.send({"type": "x"}, bytes(5000), bytes(PART_BYTES + 1))
    for buffer in wire.take_all()[0][1]:
        memoryview(buffer)[0] = 1


@pytest.mark.skipif(not available(), reason="no shared memory here")
def test_large_buffers_go_into_shared_memory_where_it_is_wanted() -> None:
    wire = Wire(TCP_FRAME_BYTES, Incoming(in_blocks=True))
    large, small = os.urandom(SHARED_BYTES), os.urandom(SHARED_BYTES - 1)
    wire.send({"type": "x"}, large, small)
    first, second = wire.take_all()[0][1]
    assert isinstance(first, SharedBuffer)
    assert bytes(SharedBuffer.open(first.handle).view()) == large
    assert bytes(second) == small


@pytest.mark.skipif(not available(), reason="no shared memory here")
@pytest.mark.parametrize("what", ["descriptor", "memory"])
def test_where_shared_memory_fails_the_message_says_so_or_does_without(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def fails(*_: object) -> None:
        raise OSError(f"no {what} left")

    owner, name = (os, "memfd_create") if what == "descriptor" else (os, "pwrite")
    monkeypatch.setattr(owner, name, fails)
    wire = Wire(TCP_FRAME_BYTES, Incoming(in_blocks=True))
    wire.send({"type": "x"}, bytes(SHARED_BYTES), b"small")
    first, second = wire.take_all()[0][1]
    assert bytes(second) == b"small"
    if what == "memory":
        assert isinstance(first, Left)
        assert "no memory left" in first.reason
    else:
        assert bytes(first) == bytes(SHARED_BYTES)


def test_buffers_beyond_the_limit_are_not_kept_and_their_size_is_known() -> None:
    wire = Wire(TCP_FRAME_BYTES, Incoming(3000))
    wire.send({"type": "x", "n": 1}, bytes(PART_BYTES), bytes(10))
    wire.send({"type": "x", "n": 2}, bytes(3000), bytes(PART_BYTES * 0))
    (header, buffers), (_, kept) = wire.take_all()
    assert header["n"] == 1
    assert [(type(each), each.nbytes) for each in buffers] == [(Left, PART_BYTES), (Left, 10)]
    assert [len(each) for each in kept] == [3000, 0]


def begun(**fields: object) -> dict[str, Any]:
    """The header of a first part, with something changed."""
    return {"type": "part", "at": 0, "frames": 2, "size": 36, **fields}


LENGTHS = (10).to_bytes(8, "little") + (10).to_bytes(8, "little")


@pytest.mark.parametrize(
    "messages",
    [
        [({"type": "part", "at": 0}, [b"x"])],
        [(begun(at=5), [b"x"])],
        [(begun(frames=1), [b"x"])],
        [(begun(frames=True), [b"x"])],
        [(begun(frames=10**9), [b"x"])],
        [(begun(size="36"), [b"x"])],
        [(begun(size=-1), [b"x"])],
        [(begun(), [])],
        [(begun(), [b""])],
        [(begun(), [bytes(37)])],
        [(begun(), [bytes(16)])],  # frames that are not as long as the message
        [(begun(), [b"\xff" * 16])],
        [(begun(), [LENGTHS]), ({"type": "part", "at": 15}, [b"x"])],
        [(begun(), [LENGTHS]), (begun(), [LENGTHS])],
        [(begun(), [LENGTHS]), ({"type": "part", "at": 16}, [bytes(21)])],
        [(begun(size=2**40), [(2**40 - 17).to_bytes(8, "little"), (1).to_bytes(8, "little")])],
    ],
)
def test_parts_that_make_no_sense_are_refused_and_the_next_message_is_taken(
    messages: list[tuple[dict[str, Any], list[bytes]]],
) -> None:
    incoming = Incoming()
    for header, pieces in messages[:-1]:
        assert incoming.take(header, pieces) is None
    with pytest.raises(BadMessage):
        incoming.take(*messages[-1])
    wire = Wire(incoming=incoming)
    wire.outgoing._sent_bytes = wire.outgoing._confirmed_bytes = incoming.received_bytes
    wire.send({"type": "x"}, bytes(5000))
    assert same(wire.take_all()[0][1], [bytes(5000)])


@pytest.mark.parametrize("received", [-1, 10**9, None, "1", True, 0.5])
def test_a_confirmation_of_what_was_never_sent_is_refused(received: object) -> None:
    wire = Wire()
    wire.send({"type": "x"}, bytes(10 * WINDOW_BYTES))
    before = len(wire.sent)
    with pytest.raises(BadMessage):
        wire.outgoing.confirmed({"received": received})
    assert len(wire.sent) == before


@pytest.mark.parametrize(
    ("url", "most"), [("tcp://127.0.0.1:1", 32 * 1024), ("ipc:///x", 1024 * 1024)]
)
def test_how_large_a_frame_may_be_depends_on_who_can_connect(url: str, most: int) -> None:
    assert frame_limit(url) == most


def test_memory_grows_with_what_has_come_and_not_with_what_was_announced() -> None:
    size = 2**40
    incoming = Incoming()
    lengths = (10).to_bytes(8, "little") * 2 + (size - 44).to_bytes(8, "little")
    assert incoming.take({"type": "part", "at": 0, "frames": 3, "size": size}, [lengths]) is None
    part = {"type": "part", "at": 24}
    assert incoming.take(part, [bytes(PART_BYTES)]) is None
    assert incoming.received_bytes == 24 + PART_BYTES


def push(n: int, engine: int, size: int) -> tuple[dict[str, Any], bytes]:
    return {"type": "request", "operation": "push", "n": n, "targets": [engine]}, bytes(size)


def test_what_has_nothing_to_do_with_a_large_message_passes_and_the_rest_keeps_its_place() -> None:
    wire = Wire(TCP_FRAME_BYTES)
    wire.send(*push(1, 0, 3 * WINDOW_BYTES))
    wire.send({"type": "ping"})  # keeps its place, and no other's
    wire.send(*push(2, 0, 10))
    wire.send(*push(3, 1, 10))  # passes
    wire.send({"type": "request", "operation": "restart", "n": 4, "targets": [2]})
    wire.send(*push(5, 1, 10))  # behind a restart
    wire.send({"type": "request", "operation": "engines", "n": 6})
    wire.send({"type": "event", "n": 7})
    arrived = wire.take_all()
    assert [header.get("n") for header, _ in arrived] == [3, 1, None, 2, 4, 5, 6, 7]
    assert [header["n"] for header, _ in arrived if "free" in header] == [3]


def test_a_large_message_waits_behind_a_large_one() -> None:
    wire = Wire(TCP_FRAME_BYTES)
    wire.send(*push(1, 0, 3 * WINDOW_BYTES))
    wire.send(*push(2, 1, 2 * PART_BYTES))
    wire.send(*push(3, 2, 10))
    assert [header["n"] for header, _ in wire.take_all()] == [3, 1, 2]
