"""pending.py: as few messages as say it all, in an order in which they make sense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.controller.comms import pending as module
from kernelfleet.controller.comms.pending import NOT_READ, OUTPUT_LEFT_OUT, Pending
from kernelfleet.wire.messages.comms import CLOSE, MESSAGE, OPEN, OUTPUT, CommMessage
from kernelfleet.wire.outputs import read_pages, to_pages


def update(comm_id: str, size: int = 1, **values: Any) -> CommMessage:
    data = {"method": "update", "state": values, "buffer_paths": []}
    return CommMessage(MESSAGE, comm_id, data, size_bytes=size)


def custom(comm_id: str, content: Any = None, size: int = 1) -> CommMessage:
    data = {"method": "custom", "content": content}
    return CommMessage(MESSAGE, comm_id, data, size_bytes=size)


def opening(comm_id: str) -> CommMessage:
    return CommMessage(OPEN, comm_id, {"state": {}})


def printed(comm_id: str, text: str, size: int = 1) -> CommMessage:
    packed = json.dumps({"name": "stdout", "text": text}).encode()
    return CommMessage(OUTPUT, comm_id, buffers=to_pages("stream", packed), size_bytes=size)


def taken(pending: Pending) -> list[Any]:
    """What each message says."""
    return [said.data.get("state", said.data.get("content")) for _, said in pending.take()]


def test_updates_of_a_widget_become_one_at_the_place_of_the_last() -> None:
    pending = Pending()
    for said in (update("a", x=1), update("b", y=1), update("a", x=2, z=3)):
        pending.add(0, said)
    assert taken(pending) == [{"y": 1}, {"x": 2, "z": 3}]
    assert not pending
    assert pending.take() == []


def test_engines_are_told_apart() -> None:
    pending = Pending()
    pending.add(0, update("a", x=1))
    pending.add(1, update("a", x=2))
    assert [(engine, said.data["state"]) for engine, said in pending.take()] == [
        (0, {"x": 1}), (1, {"x": 2}),
    ]  # fmt: skip


def test_another_message_of_the_widget_stays_between_its_updates() -> None:
    pending = Pending()
    for said in (update("a", x=1), custom("a", "draw"), update("a", x=2), update("a", x=3)):
        pending.add(0, said)
    assert taken(pending) == [{"x": 1}, "draw", {"x": 3}]


def test_an_update_does_not_go_before_what_it_names_was_opened() -> None:
    pending = Pending()
    for said in (update("a", x=1), opening("b"), update("a", children=["IPY_MODEL_b"])):
        pending.add(0, said)
    kinds = [(said.msg_type, said.comm_id) for _, said in pending.take()]
    assert kinds == [(OPEN, "b"), (MESSAGE, "a")]


def test_what_came_and_went_meanwhile_is_not_told() -> None:
    pending = Pending()
    for said in (opening("a"), update("a", x=1), custom("a"), CommMessage(CLOSE, "a")):
        pending.add(0, said)
    assert pending.take() == []
    pending.add(0, CommMessage(CLOSE, "a"))
    assert [said.msg_type for _, said in pending.take()] == [CLOSE]


def test_a_million_updates_that_nobody_reads_take_the_room_of_one() -> None:
    pending = Pending()
    for i in range(20_000):
        pending.add(0, update("a", x=i))
        pending.add(1, update("b", x=i))
    assert len(pending._messages) < 2000
    assert taken(pending) == [{"x": 19_999}, {"x": 19_999}]


def test_outputs_of_an_output_widget_travel_together_and_complete() -> None:
    pending = Pending()
    shared = printed("o", "0\n")
    pending.add(0, shared)
    for i in range(1, 100):
        pending.add(0, printed("o", f"{i}\n"))
    ((_, said),) = pending.take()
    assert len(said.buffers) == 1
    texts = [json.loads(bytes(each.content))["text"] for each in read_pages(said.buffers)]
    assert texts == [f"{i}\n" for i in range(100)]
    assert len(shared.buffers) == 1  # other bridges have it, too


def test_messages_that_nobody_reads_end_their_widget_and_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    given_up: list[tuple[int, str]] = []
    pending = Pending(lambda engine, comm_id: given_up.append((engine, comm_id)))
    pending.add(0, custom("a", 1, size=8))
    pending.add(0, custom("b", 2, size=2))
    pending.add(0, custom("a", 3, size=8))
    assert given_up == [(0, "a")]
    (_, b), (_, a) = pending.take()
    assert b.data["content"] == 2
    assert (a.msg_type, a.comm_id, a.data) == (CLOSE, "a", {"reason": NOT_READ})
    pending.add(0, custom("a", 4, size=1000))  # alone it may be as large as it is
    assert taken(pending) == [4]


def test_a_widget_that_was_opened_meanwhile_and_is_too_much_was_never_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    pending = Pending()
    for said in (opening("a"), custom("a", size=6), custom("a", size=6)):
        pending.add(0, said)
    assert pending.take() == []


def test_outputs_that_nobody_reads_are_left_out_from_some_point_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    pending = Pending()
    for i in range(5):
        pending.add(0, printed("o", f"{i}\n", size=4))
    ((_, said),) = pending.take()
    texts = [json.loads(bytes(each.content))["text"] for each in read_pages(said.buffers)]
    assert texts == ["0\n", "1\n", OUTPUT_LEFT_OUT]
    pending.add(0, printed("o", "again\n", size=4))
    assert len(pending.take()) == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["update", "update", "custom"]),
        st.sampled_from("xyz"),
        st.integers(0, 9),
        st.booleans(),
    ),
    max_size=60,
)


@given(STEPS)
def test_whenever_it_is_read_the_reader_ends_with_the_same(steps: list[Any]) -> None:
    """Merged or not, each widget has the same state in the end, and at each custom message."""

    def apply(messages: list[tuple[int, CommMessage]], states: Any, seen: list[Any]) -> None:
        for _, said in messages:
            if "state" in said.data:
                states.setdefault(said.comm_id, {}).update(said.data["state"])
            else:
                seen.append((said.comm_id, dict(states.get(said.comm_id, {}))))

    pending = Pending()
    plain: tuple[Any, list[Any]] = ({}, [])
    read: tuple[Any, list[Any]] = ({}, [])
    for comm_id, kind, key, value, reads in steps:
        said = update(comm_id, **{key: value}) if kind == "update" else custom(comm_id)
        apply([(0, said)], *plain)
        pending.add(0, said)
        if reads:
            apply(pending.take(), *read)
    apply(pending.take(), *read)
    assert read == plain
