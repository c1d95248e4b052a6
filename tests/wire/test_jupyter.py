"""Jupyter messages as frames: signed ones come back, everything else is refused."""

from __future__ import annotations

from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import DELIM, Session

from kernelfleet.wire.jupyter import (
    COMPACT,
    BadKernelMessage,
    decode,
    encode,
    encode_compact,
    make_session,
)

KEY = b"0123456789abcdef"


@pytest.fixture
def session() -> Session:
    return make_session(KEY, "controller")


def test_a_request_is_what_jupyter_client_understands(session: Session) -> None:
    msg_id, frames = encode(session, "execute_request", {"code": "1"})
    kernel = Session(key=KEY)
    message = kernel.deserialize(kernel.feed_identities(frames)[1])
    assert message["header"]["msg_id"] == msg_id
    assert message["header"]["session"] == "controller"
    assert message["content"] == {"code": "1"}


def test_a_message_of_jupyter_client_is_decoded_with_its_buffers(session: Session) -> None:
    msg_id, _ = encode(session, "execute_request", {"code": "1"})
    kernel = Session(key=KEY, session="engine")
    reply = kernel.msg("execute_reply", {"status": "ok"}, parent={"msg_id": msg_id})
    message = decode(session, [b"id", b"id2", *kernel.serialize(reply), b"buffer", b"2"])
    assert message.identities == [b"id", b"id2"]
    assert (message.msg_type, message.session) == ("execute_reply", "engine")
    assert message.parent_id == msg_id
    assert message.content == {"status": "ok"}
    assert message.buffers == [b"buffer", b"2"]


def test_frames_of_pyzmq_are_decoded_as_bytes_are(session: Session) -> None:
    _, frames = encode(session, "status", {"execution_state": "idle"})
    message = decode(session, [zmq.Frame(frame) for frame in [b"topic", *frames, b"buffer"]])
    assert message.identities == [b"topic"]
    assert message.content == {"execution_state": "idle"}
    assert bytes(message.buffers[0]) == b"buffer"


def test_a_message_without_parent_has_an_empty_parent_id(session: Session) -> None:
    _, frames = encode(session, "status", {})
    assert decode(session, frames).parent_id == ""


@given(st.lists(st.binary(max_size=30) | st.just(DELIM), max_size=9))
def test_random_frames_are_refused(frames: list[bytes]) -> None:
    with pytest.raises(BadKernelMessage):
        decode(make_session(KEY, "controller"), frames)


def signed(*parts: bytes) -> list[bytes]:
    return [DELIM, make_session(KEY, "x").sign(list(parts)), *parts]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [DELIM],
        [DELIM, b"", b"{}", b"{}", b"{}"],
        signed(b"{}", b"{}", b"{}", b"{}"),
        signed(b"[]", b"{}", b"{}", b"{}"),
        signed(b'{"msg_type": "x"}', b"[1]", b"{}", b"{}"),
        signed(b'{"msg_type": "x"}', b"no json", b"{}", b"{}"),
        signed(b'{"msg_type": "x", "session": 3}', b"{}", b"{}", b"{}"),
        signed(b'{"msg_type": ["x"]}', b"{}", b"{}", b"{}"),
        signed(b'{"msg_type": "x"}', b'{"msg_id": []}', b"{}", b"{}"),
    ],
    ids=lambda frames: repr(frames)[:60],
)
def test_what_is_no_message_is_refused(session: Session, frames: list[bytes]) -> None:
    with pytest.raises(BadKernelMessage):
        decode(session, frames)


def test_another_key_is_refused(session: Session) -> None:
    _, frames = encode(make_session(b"other", "x"), "status", {})
    with pytest.raises(BadKernelMessage, match="signature"):
        decode(session, frames)


def test_the_history_of_digests_is_off(session: Session) -> None:
    """It takes 9 MB, and 53 ms at each cull (jupyter_client 8.10)."""
    _, frames = encode(session, "status", {})
    for _ in range(3):
        decode(session, frames)
    assert not session.digest_history


def test_many_identities_do_not_hide_the_delimiter(session: Session) -> None:
    _, frames = encode(session, "status", {})
    identities: list[Any] = [b"%d" % i for i in range(6)]
    assert decode(session, [*identities, *frames]).identities == identities


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff", "no JSON"),
        (b"[]", "no object"),
        (b"null", "no object"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no JSON"),
        (b'{"a": ' + b"[" * 100_000, "no JSON"),
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "nested deeper"),
    ],
    ids=lambda each: repr(each)[:30],
)
def test_who_waits_for_a_message_is_told_that_its_content_cannot_be_taken(
    session: Session, content: bytes, problem: str
) -> None:
    head = b'{"msg_type": "x", "session": "s"}'
    message = decode(session, signed(head, b'{"msg_id": "m"}', b"{}", content))
    assert (message.parent_id, message.session) == ("m", "s")
    assert problem in message.problem
    assert message.content["status"] == "error"
    assert message.content["evalue"] == message.problem


def framed(session: Session, content: dict[str, Any], **changes: Any) -> list[bytes]:
    said = {"msg_type": "fleet_pull_reply", "msg_id": "id-7", **changes}
    return [b"engine", *encode_compact(session, said["msg_type"], said["msg_id"], content)]


def test_a_compact_message_is_read_back_with_its_data() -> None:
    session = make_session(KEY, "controller")
    message = decode(session, [*framed(session, {"status": "ok"}), b"data", b"more"])
    assert (message.msg_type, message.parent_id) == ("fleet_pull_reply", "id-7")
    assert (message.content, message.problem) == ({"status": "ok"}, "")
    assert (message.identities, message.buffers) == ([b"engine"], [b"data", b"more"])


def test_a_line_in_the_content_does_not_end_the_head() -> None:
    session = make_session(KEY, "controller")
    assert decode(session, framed(session, {"a": "b\nc d"})).content == {"a": "b\nc d"}


@pytest.mark.parametrize("at", [2, 3])
def test_a_compact_message_with_a_changed_byte_is_refused(at: int) -> None:
    session = make_session(KEY, "controller")
    frames = framed(session, {"status": "ok"})
    frames[at] = frames[at][:-1] + b"0"
    with pytest.raises(BadKernelMessage, match="signature"):
        decode(session, frames)


def test_the_signature_of_a_jupyter_message_does_not_sign_a_compact_one() -> None:
    session = make_session(KEY, "controller")
    _, _, part = encode_compact(session, "fleet_pull_reply", "id", {})
    with pytest.raises(BadKernelMessage, match="signature"):
        decode(session, [b"engine", COMPACT, session.sign([part]), part])


@pytest.mark.parametrize("head", [b"", b"one", b"a b c", b"\xff id"])
def test_a_compact_message_without_type_and_id_is_refused(head: bytes) -> None:
    session = make_session(KEY, "controller")
    part = head + b"\n{}"
    with pytest.raises(BadKernelMessage, match="not a message"):
        decode(session, [b"engine", COMPACT, session.sign([COMPACT, part]), part])


def test_a_compact_message_whose_content_is_no_object_has_a_problem() -> None:
    session = make_session(KEY, "controller")
    contents: tuple[Any, ...] = ([], 7, None, "text")
    for content in contents:
        assert decode(session, framed(session, content)).problem
