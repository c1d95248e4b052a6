"""What a request must say, and that everything else is refused with a text that names the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.controller.door.validation import (
    BadRequest,
    UnknownOperation,
    check,
    shown,
)
from kernelfleet.wire.fields import MAX_SECONDS, fields_of
from kernelfleet.wire.operations import OPERATIONS, Operation

EXECUTE = {
    "type": "request",
    "operation": "execute",
    "targets": [0],
    "result_id": "r",
    "content": {"code": "1"},
}
PUSH = {"type": "request", "operation": "push", "targets": [0, 1], "result_id": "r"}


def test_sound_requests_pass() -> None:
    assert check(EXECUTE, 0).name == "execute"
    assert check({**PUSH, "payloads": [1, 2], "assign": [1, 0]}, 3).name == "push"
    asked = {"type": "request", "operation": "get_properties", "targets": []}
    assert check(asked, 0).name == "get_properties"


@pytest.mark.parametrize(
    ("change", "buffers", "text"),
    [
        ({"type": "wish"}, 0, "unknown message type 'wish'"),
        ({"operation": ["execute"]}, 0, "no operation a list of 1"),
        ({"targets": "all"}, 0, "targets must be a list of engine ids, at most 100000, not 'all'"),
        ({"targets": [[0]]}, 0, "targets must be"),
        ({"targets": [True]}, 0, "targets must be"),
        ({"targets": [0.0]}, 0, "targets must be"),
        ({"targets": [0] * 100_001}, 0, "targets must be"),
        ({"result_id": None}, 0, "result_id must be text, not None"),
        ({"content": []}, 0, "content must be an object"),
        ({"content": {}}, 0, "content.code is missing: text is needed"),
        ({"content": {"code": 3}}, 0, "content.code must be text, not 3"),
        ({"content": {"code": "1", "allow_stdin": "yes"}}, 0, "content.allow_stdin"),
        ({"payloads": None}, 0, "payloads must be"),
        ({"payloads": [-1, 1]}, 0, "payloads must be"),
        ({"payloads": [2]}, 1, "payloads are of 2 buffers, and 1 came"),
        ({}, 1, "payloads are of 0 buffers, and 1 came"),
        ({"assign": [0, 0]}, 0, "1 targets, but 2 in assign"),
        ({"assign": [1]}, 0, "assign names payload 1 of 0"),
        ({"assign": [-1]}, 0, "assign must be"),
        ({"limit": "soon"}, 0, "limit must be a number of seconds or null"),
        ({"limit": -1}, 0, "limit must be"),
        ({"limit": 10**400}, 0, "limit must be .* not an integer of many digits"),
        ({"limit": float("inf")}, 0, "a number is inf"),
        ({"label": 7}, 0, "label must be text"),
        ({"stream": 1}, 0, "stream must be true or false"),
        ({"release": "abc"}, 0, "release must be a list of texts"),
        ({"content": {"code": "'\ud800'"}}, 0, "half a surrogate pair"),
        ({"decode": json.loads("[" * 250 + "]" * 250)}, 0, "nested deeper than 200"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_what_is_not_sound_is_refused_by_name(change: Any, buffers: int, text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        check({**EXECUTE, **change}, buffers)


VALUES: tuple[Any, ...] = ("text", 1, [], {})


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda each: each.name)
def test_every_operation_needs_its_fields(operation: Operation) -> None:
    fields = fields_of(operation.request)
    good: dict[str, Any] = {"type": "request", "operation": operation.name}
    for name in [each for each, field in fields.items() if field.required]:
        with pytest.raises(BadRequest, match=f"{name} is missing"):
            check(good, 0)
        good[name] = next(value for value in VALUES if fields[name].check.fits(value))
    if operation.name in ("execute", "pull", "comm"):
        with pytest.raises(BadRequest, match=r"content\.\w+ is missing"):
            check(good, 0)
        comm = {"msg_type": "comm_msg", "comm_id": "c", "data": {}}
        good["content"] = {"code": "1", "names": [], **comm}
    assert check(good, 0) is operation


@pytest.mark.parametrize("word", ["fly", "made", "setup", "", None, ["execute"], {"a": 1}])
def test_a_word_of_no_table_is_told_from_a_malformed_request(word: Any) -> None:
    with pytest.raises(UnknownOperation, match="knows no operation"):
        check({"type": "request", "operation": word, "targets": [0], "result_id": "r"}, 0)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
    | st.integers(min_value=10**100, max_value=10**4000)
)
def test_any_value_can_be_shown_in_short(value: Any) -> None:
    assert len(shown(value)) <= 70


@pytest.mark.parametrize(
    "request_",
    [
        {"operation": "progress", "result_id": "r"},
        {"operation": "progress", "result_id": "r", "brief": True},
        {"operation": "inspect", "engine": 0, "code": "x", "cursor_pos": 0},
        {"operation": "inspect", "engine": 0, "code": "x", "cursor_pos": 1, "detail_level": 0},
        {"operation": "get_result", "targets": [0]},
        {"operation": "get_result", "targets": [0], "number": -1},
        {"operation": "cancel", "result_id": "r"},
        {"operation": "attach", "of": "r"},
        {"operation": "get_properties", "targets": [0]},
    ],
    ids=lambda each: str(each)[14:50],
)
def test_what_may_be_missing_may_be_missing_and_what_is_there_may_be_nothing(
    request_: dict[str, Any],
) -> None:
    assert check({"type": "request", **request_}, 0).name == request_["operation"]


@pytest.mark.parametrize("limit", [0, 5, 0.5, MAX_SECONDS, int(MAX_SECONDS), None])
def test_a_time_limit_is_any_number_of_seconds(limit: float | None) -> None:
    assert check({**EXECUTE, "limit": limit}, 0).name == "execute"


@pytest.mark.parametrize("limit", [True, 2 * MAX_SECONDS, int(MAX_SECONDS) + 1])
def test_a_time_limit_that_no_clock_counts_is_refused(limit: float) -> None:
    with pytest.raises(BadRequest, match="limit must be a number of seconds"):
        check({**EXECUTE, "limit": limit}, 0)


@pytest.mark.parametrize("position", [-1, True, 1.0, "1"])
def test_a_place_in_a_text_is_an_integer_from_0_on(position: Any) -> None:
    asked = {"type": "request", "operation": "complete", "engine": 0, "code": "x"}
    with pytest.raises(BadRequest, match="cursor_pos must be an integer from 0 on"):
        check({**asked, "cursor_pos": position}, 0)
    inspect = {**asked, "operation": "inspect", "cursor_pos": 0, "detail_level": position}
    with pytest.raises(BadRequest, match="detail_level must be an integer from 0 on"):
        check(inspect, 0)


def test_every_target_is_assigned_a_payload_that_came() -> None:
    push = {**PUSH, "payloads": [1, 1]}
    for assign in ([0, 1], [1, 1], []):
        assert check({**push, "assign": assign}, 2).name == "push"
    for assign in ([0, 2], [2, 0]):
        with pytest.raises(BadRequest, match="assign names payload 2 of 2"):
            check({**push, "assign": assign}, 2)


def test_what_is_shown_in_short_ends_with_dots_and_what_is_short_does_not() -> None:
    assert shown("x" * 8, 10) == "'xxxxxxxx'"
    assert shown("x" * 20, 10) == "'xxxxxxxxx..."
    assert shown(12345, 5) == "12345"
    assert shown(-(10**5), 5) == shown(10**5, 5) == "an integer of many digits"
    assert shown(-99999, 5) == "-9999..."
