"""comms.py: what the updates of a widget's state make of it."""

from __future__ import annotations

from typing import Any

import pytest

from kernelfleet.wire.messages.comms import (
    MESSAGE,
    OPEN,
    CommMessage,
    State,
    is_update,
    merged,
    references,
    state_in,
    with_ids,
)


def update(comm_id: str = "c", *, buffers: tuple[bytes, ...] = (), **values: Any) -> CommMessage:
    paths = [[key] for key in values if values[key] is None]
    data = {"method": "update", "state": values, "buffer_paths": paths}
    return CommMessage(MESSAGE, comm_id, data, list(buffers), size_bytes=10)


def test_a_message_and_its_content_are_the_same() -> None:
    content = {"comm_id": "c", "data": {"x": 1}, "target_name": "t", "target_module": None}
    said = CommMessage.of(OPEN, content, {"version": "2"}, [b"x"], 5)
    assert said is not None
    assert (said.content, said.metadata, said.buffers) == (content, {"version": "2"}, [b"x"])
    assert (said.target, said.size_bytes) == (("t", None), 5)
    closing = CommMessage.of("comm_close", {"comm_id": "c"}, {}, [])
    assert closing is not None
    assert closing.content == {"comm_id": "c", "data": {}}


@pytest.mark.parametrize(
    "content",
    [{}, {"comm_id": 1}, {"comm_id": "c", "data": [1]}, {"comm_id": "c", "target_name": 1},
     {"comm_id": "c", "target_module": 1}],
    ids=str,
)  # fmt: skip
def test_what_is_of_no_such_form_is_no_message(content: dict[str, Any]) -> None:
    assert CommMessage.of(OPEN, content, {}, []) is None


def test_a_state_is_found_in_openings_and_updates_only() -> None:
    assert state_in(CommMessage(OPEN, "c", {"state": {"x": 1}})) == State({"x": 1})
    echo = CommMessage(MESSAGE, "c", {"method": "echo_update", "state": {"x": 1}})
    assert state_in(echo) == State({"x": 1})
    assert not is_update(echo)  # the frontend waits for that very one
    assert is_update(update(x=1))
    for data in ({"method": "custom", "state": {}}, {"method": "update"}, {"state": {"x": 1}}):
        assert state_in(CommMessage(MESSAGE, "c", data)) is None
    assert state_in(CommMessage("comm_close", "c", {"state": {}})) is None


@pytest.mark.parametrize("paths", [[["x"]], [[]], ["x"], "x", [["y"], ["x"]]], ids=str)
def test_paths_without_their_buffers_make_no_state(paths: Any) -> None:
    data = {"method": "update", "state": {"x": None}, "buffer_paths": paths}
    assert state_in(CommMessage(MESSAGE, "c", data)) is None


def test_later_values_take_the_place_of_earlier_ones_with_their_bytes() -> None:
    both = merged(update(a=1, b=None, buffers=(b"old",)), update(a=2, c=None, buffers=(b"c",)))
    assert both.data["state"] == {"a": 2, "b": None, "c": None}
    assert both.data["buffer_paths"] == [["b"], ["c"]]
    assert both.buffers == [b"old", b"c"]
    assert both.size_bytes == 20
    last = merged(both, update(a=3, b=4, c=None, buffers=(b"new",)))
    assert last.data["state"] == {"a": 3, "b": 4, "c": None}
    assert (last.data["buffer_paths"], last.buffers) == ([["c"]], [b"new"])
    assert last.size_bytes == 10  # nothing of the earlier ones is left
    assert last.data["method"] == "update"


def test_widgets_that_a_state_names_are_found_and_can_be_named_otherwise() -> None:
    state = {"layout": "IPY_MODEL_a", "children": ["IPY_MODEL_b", {"x": "IPY_MODEL_c"}], "n": 1}
    assert list(references(state)) == ["a", "b", "c"]
    renamed = {"layout": "IPY_MODEL_z", "children": ["IPY_MODEL_b", {"x": "IPY_MODEL_c"}], "n": 1}
    assert with_ids(state, {"a": "z"}) == renamed
    assert state["layout"] == "IPY_MODEL_a"
