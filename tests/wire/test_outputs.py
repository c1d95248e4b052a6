"""outputs.py: packed messages come back as they were, and nonsense is refused."""

from __future__ import annotations

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.wire.outputs import (
    OUTPUT_TYPES,
    OWN_FRAME_BYTES,
    BadPages,
    Pages,
    Published,
    content_of,
    joined,
    read_pages,
    record,
    to_pages,
)

LARGE = b"x" * OWN_FRAME_BYTES
MESSAGES = st.lists(
    st.tuples(st.sampled_from(OUTPUT_TYPES), st.binary(max_size=20) | st.just(LARGE)), max_size=20
)


@given(MESSAGES, st.booleans())
def test_what_was_put_into_pages_comes_back(
    messages: list[tuple[str, bytes]], as_frames: bool
) -> None:
    pages = Pages()
    for msg_type, content in messages:
        pages.add(msg_type, zmq.Frame(content) if as_frames else content)
    frames = [zmq.Frame(frame) if as_frames else frame for frame in pages.frames()]
    assert [(each.msg_type, bytes(each.content)) for each in read_pages(frames)] == messages


def test_small_messages_share_pages_and_large_ones_are_not_copied() -> None:
    pages = Pages()
    for _ in range(1000):
        pages.add_records(record("stream", b"{}"))
    pages.add("display_data", LARGE).add("stream", b"{}")
    frames = pages.frames()
    assert len(frames) == 3
    assert frames[1] is LARGE


@given(st.lists(st.binary(max_size=30), max_size=4))
def test_random_frames_are_read_or_refused(frames: list[bytes]) -> None:
    try:
        for each in read_pages(frames):
            content_of(each)
    except BadPages:
        pass


@pytest.mark.parametrize("cut", [1, 5, 10])
def test_a_page_that_lacks_something_is_refused(cut: int) -> None:
    for frames in (to_pages("stream", b"{}   "), to_pages("stream", LARGE)):
        with pytest.raises(BadPages):
            list(read_pages([*frames[:-1], frames[-1][:-cut]]))
    with pytest.raises(BadPages):
        list(read_pages([b"\x7f" + bytes(8)]))


@pytest.mark.parametrize(
    ("msg_type", "content", "good"),
    [
        ("stream", b'{"text": "x"}', True),
        ("error", b'{"traceback": null}', True),
        ("error", b'{"traceback": 3}', False),
        ("display_data", b'{"data": {"text/plain": "x"}, "transient": null}', True),
        ("display_data", b'{"data": "x"}', False),
        ("execute_result", b'{"transient": ["a"]}', False),
        ("stream", b"\xff", False),
        ("stream", b"[]", False),
        ("stream", b'{"a": ' + b"9" * 5000 + b"}", False),
        ("stream", b'{"a": ' + b"[" * 100_000, False),
        ("stream", b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", False),
    ],
    ids=lambda each: repr(each)[:30],
)
def test_a_content_that_has_not_the_form_of_its_type_is_none(
    msg_type: str, content: bytes, good: bool
) -> None:
    assert (content_of(Published(msg_type, memoryview(content))) is not None) is good


@given(MESSAGES)
def test_pages_that_were_made_one_by_one_are_joined_without_loss(
    messages: list[tuple[str, bytes]],
) -> None:
    frames = joined([page for each in messages for page in to_pages(*each)])
    assert [(each.msg_type, bytes(each.content)) for each in read_pages(frames)] == messages
    if not any(content == LARGE for _, content in messages):
        assert len(frames) <= 1
