"""The keys of a line: whatever differs, nothing said on one line is good on another."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.wire.codec import BadMessage, Codec
from kernelfleet.wire.handshake import connection_codecs, new_nonce, read_hello

LINE: dict[str, Any] = {"key": b"key", "client": "me", "nonce": "n", "challenge": "c"}
HEAD = {"type": "request", "n": 1}


def test_both_ends_derive_the_same_keys() -> None:
    here, there = connection_codecs(**LINE), connection_codecs(**LINE)
    assert there.to_controller.decode(here.to_controller.encode(HEAD))[0] == HEAD
    assert here.to_client.decode(there.to_client.encode(HEAD))[0] == HEAD


@pytest.mark.parametrize(
    "other", [{"key": b"other"}, {"client": "you"}, {"nonce": "m"}, {"challenge": "d"}], ids=repr
)
def test_what_was_signed_for_one_line_is_refused_on_another(other: dict[str, Any]) -> None:
    frames = connection_codecs(**LINE).to_controller.encode(HEAD)
    with pytest.raises(BadMessage, match="signature"):
        connection_codecs(**{**LINE, **other}).to_controller.decode(frames)


def test_directions_and_the_fleets_own_key_are_kept_apart() -> None:
    codecs = connection_codecs(**LINE)
    for frames in (codecs.to_client.encode(HEAD), Codec(b"key").encode(HEAD)):
        with pytest.raises(BadMessage, match="signature"):
            codecs.to_controller.decode(frames)


def test_the_parts_of_the_context_cannot_be_shifted_into_each_other() -> None:
    frames = connection_codecs(b"key", "ab", "c", "d").to_controller.encode(HEAD)
    with pytest.raises(BadMessage):
        connection_codecs(b"key", "a", "bc", "d").to_controller.decode(frames)


def test_a_nonce_was_never_said_before() -> None:
    assert len({new_nonce() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "header",
    [
        {"type": "request", "client": "me", "nonce": "n"},
        {"type": "hello", "nonce": "n"},
        {"type": "hello", "client": "me"},
        {"type": "hello", "client": "", "nonce": "n"},
        {"type": "hello", "client": ["me"], "nonce": "n"},
        {"type": "hello", "client": "me", "nonce": "n" * 101},
        {"type": "hello", "client": "\ud800", "nonce": "n"},
        {"type": "hello", "client": "a\nb", "nonce": "n"},
    ],
    ids=repr,
)
def test_a_hello_needs_an_id_and_a_nonce(header: dict[str, Any]) -> None:
    assert read_hello({"type": "hello", "client": "me", "nonce": "n"}) == ("me", "n")
    with pytest.raises(BadMessage):
        read_hello(header)
