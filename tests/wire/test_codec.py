"""Messages as signed frames: what was encoded comes back, everything else is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.wire import codec
from kernelfleet.wire.codec import BadMessage, Codec

KEY = b"k" * 32

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
OUR_OWN = ("buffers", "n", "ack")
headers = st.dictionaries(st.text().filter(lambda key: key not in OUR_OWN), json_values).map(
    lambda header: {**header, "type": "request"}
)


@given(headers, st.lists(st.binary(max_size=50), max_size=4))
def test_what_is_encoded_is_decoded(header: dict[str, Any], buffers: list[bytes]) -> None:
    frames = Codec(KEY).encode(header, buffers)
    assert Codec(KEY).decode(frames) == (header, buffers)


def test_frames_of_pyzmq_are_decoded_as_bytes_are() -> None:
    frames = [zmq.Frame(frame) for frame in Codec(KEY).encode({"type": "x", "ü": 1}, [b"data"])]
    header, buffers = Codec(KEY).decode(frames)
    assert header == {"type": "x", "ü": 1}
    assert [bytes(buffer) for buffer in buffers] == [b"data"]


def test_buffers_are_passed_on_without_a_copy() -> None:
    data = bytearray(1000)
    frames = Codec(KEY).encode({"type": "x"}, [data])
    assert frames[2] is data
    assert Codec(KEY).decode(frames)[1][0] is data


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_random_frames_are_refused(frames: list[bytes]) -> None:
    with pytest.raises(BadMessage):
        Codec(KEY).decode(frames)


def signed(header: bytes, *buffers: bytes) -> list[bytes]:
    return [Codec(KEY)._sign(header), header, *buffers]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        signed(b""),
        signed(b"{"),
        signed(b"\xff\xfe"),
        signed(b"[]"),
        signed(b'"type"'),
        signed(b"{}"),
        signed(b'{"type": 3, "buffers": 0}'),
        signed(b'{"type": "x"}'),
        signed(b'{"type": "x", "buffers": 1}'),
        signed(b'{"type": "x", "buffers": 0}', b"too many"),
        signed(b'{"type": "x", "buffers": "0"}'),
        signed(b'{"type": "x", "buffers": false}'),
        signed(b'{"type": "x", "buffers": 0.0}'),
        signed(b'{"type": "x", "buffers": -1}'),
        signed(b'{"type": "x", "buffers": 1e400}', b""),
        signed(b'{"type": "x", "buffers": ' + b"9" * 4000 + b"}"),
        signed(b'{"type": "x", "buffers": ' + b"9" * 5000 + b"}"),
        signed(b'{"type": "x", "buffers": 0, "n": -1}'),
        signed(b'{"type": "x", "buffers": 0, "n": true}'),
        signed(b'{"type": "x", "buffers": 0, "n": 1.0}'),
        signed(b'{"type": "x", "buffers": 0, "n": null}'),
        signed(b'{"type": "x", "buffers": 0, "ack": 1e400}'),
        signed(b'{"type": "x", "buffers": 0, "ack": [1]}'),
        signed(b'{"type": "x", "buffers": 0, "type": 1}'),
        signed(b'{"type": "x", "buffers": 0}\x00'),
        signed(b"[" * 100_000),
        signed(b'{"a":' * 100_000),
    ],
    ids=lambda frames: repr(frames)[:40],
)
def test_what_is_no_message_is_refused_though_signed(frames: list[bytes]) -> None:
    with pytest.raises(BadMessage):
        Codec(KEY).decode(frames)


def mutated(frames: list[bytes], data: st.DataObject) -> list[bytes]:
    """Good frames after something happened to them."""
    frames = list(frames)
    match data.draw(st.sampled_from(["cut", "change", "drop", "double", "swap", "grow"])):
        case "cut":
            i = data.draw(st.integers(0, len(frames) - 1))
            frames[i] = frames[i][: data.draw(st.integers(0, len(frames[i])))]
        case "change":
            i = data.draw(st.integers(0, len(frames) - 1))
            frames[i] = data.draw(st.binary(max_size=40))
        case "drop":
            del frames[data.draw(st.integers(0, len(frames) - 1))]
        case "double":
            i = data.draw(st.integers(0, len(frames) - 1))
            frames.insert(i, frames[i])
        case "swap":
            frames = data.draw(st.permutations(frames))
        case "grow":
            frames += data.draw(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
    return frames


@given(headers, st.lists(st.binary(max_size=50), max_size=4), st.data())
def test_a_message_that_was_changed_on_the_way_is_refused(
    header: dict[str, Any], buffers: list[bytes], data: st.DataObject
) -> None:
    sent = Codec(KEY).encode(header, buffers)
    arrived = mutated(sent, data)
    try:
        decoded = Codec(KEY).decode(arrived)
    except BadMessage:
        return
    # Buffers are not signed; what is, is as it was, and as many buffers as there were.
    assert arrived[:2] == sent[:2]
    assert decoded == (header, arrived[2:])
    assert len(arrived) == len(sent)


@given(st.binary(max_size=60) | json_values.map(lambda v: json.dumps(v).encode()))
def test_whatever_is_signed_is_a_message_or_refused(packed: bytes) -> None:
    try:
        header, buffers = Codec(KEY).decode(signed(packed))
    except BadMessage:
        return
    assert isinstance(header["type"], str)
    assert buffers == []


def test_another_key_is_refused() -> None:
    with pytest.raises(BadMessage, match="signature"):
        Codec(b"other").decode(Codec(KEY).encode({"type": "x"}))


def test_a_changed_header_is_refused() -> None:
    signature, header = Codec(KEY).encode({"type": "x"})
    with pytest.raises(BadMessage, match="signature"):
        Codec(KEY).decode([signature, header.replace(b"x", b"y")])


def test_a_header_beyond_the_limit_is_refused_before_it_is_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "MAX_HEADER_BYTES", 100)
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("was parsed"))
    with pytest.raises(BadMessage, match="limit"):
        Codec(KEY).decode(Codec(KEY).encode({"type": "x" * 200}))


def test_a_header_that_nobody_would_take_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = Codec(KEY).encode({"type": "x", "text": "y"})
    monkeypatch.setattr(codec, "MAX_HEADER_BYTES", len(frames[1]))
    assert Codec(KEY).encode({"type": "x", "text": "y"}) == frames
    with pytest.raises(BadMessage, match="the limit is"):
        Codec(KEY).encode({"type": "x", "text": "yy"})


def test_a_header_that_nobody_may_send_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = Codec(KEY).encode({"type": "x", "text": "y"})
    monkeypatch.setattr(codec, "MAX_HEADER_BYTES", len(frames[1]) - 1)
    with pytest.raises(BadMessage, match="the limit is"):
        Codec(KEY).decode(frames)
