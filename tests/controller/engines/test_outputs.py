"""outputs.py: what is carried folds to what it would have folded to, in less room."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.client.results.outputs import OutputAggregator, fold
from kernelfleet.controller.engines.outputs import (
    CONFIRM_BYTES,
    OutputLog,
    ReadBytes,
)
from kernelfleet.wire.outputs import OWN_FRAME_BYTES, read_pages

Message = tuple[str, dict[str, Any]]
KB = 1024


def stream(text: str, name: str = "stdout") -> Message:
    return "stream", {"name": name, "text": text}


def display(text: str, display_id: str | None = None, kind: str = "display_data") -> Message:
    transient = {} if display_id is None else {"display_id": display_id}
    return kind, {"data": {"text/plain": text}, "metadata": {}, "transient": transient}


def update(text: str, display_id: str) -> Message:
    return display(text, display_id, "update_display_data")


def clear(wait: bool = False) -> Message:
    return "clear_output", {"wait": wait}


def logged(*messages: Message) -> OutputLog:
    log = OutputLog()
    for kind, content in messages:
        log.add(kind, json.dumps(content).encode())
    return log


def seen(folder: OutputAggregator) -> tuple[Any, ...]:
    return folder.outputs(), folder.stdout, folder.stderr


LARGE = "x" * OWN_FRAME_BYTES
TEXTS = st.sampled_from(["", "a", "b", "é\n", LARGE])
STEPS = st.lists(
    st.one_of(
        st.builds(stream, TEXTS, st.sampled_from(["stdout", "stderr"])),
        st.builds(display, TEXTS, st.sampled_from([None, "1", "2"])),
        st.builds(update, TEXTS, st.sampled_from(["1", "2"])),
        st.builds(clear, st.booleans()),
        st.just(("error", {"ename": "E", "evalue": "v", "traceback": ["t"]})),
    ),
    max_size=20,
)


@given(STEPS)
def test_whatever_is_dropped_on_the_way_the_client_sees_the_same(steps: list[Message]) -> None:
    folder, log = OutputAggregator(), OutputLog()
    for kind, content in steps:
        folder.add(kind, content)
        log.add(kind, json.dumps(content).encode())
        assert seen(fold(log.frames())) == seen(folder)


def test_a_large_content_is_a_frame_of_its_own_and_is_not_copied() -> None:
    frame = zmq.Frame(json.dumps(display(LARGE)[1]).encode())
    log = OutputLog()
    log.add("stream", b'{"text": "a"}')
    log.add("display_data", frame)
    page, content = log.frames()
    assert content is frame
    assert len(page) < 100
    assert len(frame) < log.size_bytes < len(frame) + 500


def test_a_hundred_thousand_small_pieces_are_few_frames() -> None:
    log = logged(*[stream("x\n")] * 100_000)
    frames = log.frames()
    assert len(frames) < 100
    assert fold(frames).stdout == "x\n" * 100_000
    assert log.size_bytes < 6_000_000


@pytest.mark.parametrize(
    "step",
    [
        [update("x" * 50 * KB, "bar")],
        [clear(), display("x" * 50 * KB, "bar")],
        [clear(wait=True), display("x" * 50 * KB)],
        [clear(), display(LARGE), update("x", "bar")],
    ],
    ids=["updated", "cleared", "cleared later", "cleared and updated"],
)
def test_a_picture_that_is_redrawn_for_days_takes_the_room_of_a_picture(
    step: list[Message],
) -> None:
    log = logged(display("first", "bar"), *step)
    once = log.size_bytes
    for _ in range(1000):
        for kind, content in step:
            log.add(kind, json.dumps(content).encode())
    assert log.size_bytes < 2 * once + 200
    assert sum(map(len, log.frames())) < 3 * once


def test_what_was_printed_stays_when_it_is_cleared() -> None:
    log = logged(*[stream("x\n"), clear(wait=True)] * 1000, stream(LARGE), clear(), display("d"))
    folder = fold(log.frames())
    assert folder.stdout == "x\n" * 1000 + LARGE
    assert [each["output_type"] for each in folder.outputs()] == ["display_data"]
    assert len(log.frames()) < 10


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b"3", b"{" * 100_000])
def test_a_clear_that_nobody_can_read_clears_nothing(content: bytes) -> None:
    log = logged(display("a"))
    log.add("clear_output", content)
    log.add(*("display_data", json.dumps(display("b")[1]).encode()))
    assert len(fold(log.frames()).outputs()) == 2


@pytest.mark.parametrize(
    "content",
    [
        {"data": {"t": '"transient": {"display_id": "1"}}'}, "transient": {}},
        {"transient": {"display_id": "1"}, "data": {"t": "x"}},
        {"data": {"transient": {"display_id": "1"}}},
    ],
)
def test_only_an_id_that_surely_is_one_makes_an_update_replace_another(
    content: dict[str, Any],
) -> None:
    log = logged(("update_display_data", content), ("update_display_data", content))
    assert log.size_bytes > 2 * len(json.dumps(content))


def test_a_kernel_is_told_of_all_that_was_read_in_large_pieces() -> None:
    told: list[int] = []
    read = ReadBytes(lambda *message: told.append(message[-1]["bytes"]))
    for _ in range(1000):
        read.add(CONFIRM_BYTES // 10)
    assert 0 <= 1000 * (CONFIRM_BYTES // 10) - sum(told) < CONFIRM_BYTES
    assert min(told) >= CONFIRM_BYTES
    ReadBytes(None).add(10 * CONFIRM_BYTES)  # of others nobody wants to know


def test_what_is_measured_goes_down_when_a_display_is_replaced() -> None:
    log = logged(display("a", "1"), update("b" * 1000, "1"))
    measured = log.size_bytes
    log.add(*("update_display_data", json.dumps(update("c" * 1000, "1")[1]).encode()))
    assert log.size_bytes == measured


def test_a_clear_as_long_as_a_display_is_none() -> None:
    log = logged(display("a"))
    log.add("clear_output", json.dumps({"wait": False, "x": LARGE}).encode())
    assert len(fold(log.frames()).outputs()) == 1


def test_nothing_is_logged_that_was_not_said() -> None:
    log = logged(stream("a"), display("b"))
    said = [published.msg_type for published in read_pages(log.frames())]
    assert said == ["stream", "display_data"]


def test_a_log_that_was_cleared_measures_what_it_holds() -> None:
    once, cleared = logged(clear(), display("b")), logged(display("a"), clear(), display("b"))
    assert cleared.size_bytes == once.size_bytes
    assert cleared.frames() == once.frames()


def test_a_kernel_is_told_at_the_very_limit_and_then_counted_anew() -> None:
    told: list[int] = []
    read = ReadBytes(lambda *message: told.append(message[-1]["bytes"]))
    for size in (CONFIRM_BYTES - 1, 1, CONFIRM_BYTES - 1, 1):
        read.add(size)
    assert told == [CONFIRM_BYTES, CONFIRM_BYTES]
