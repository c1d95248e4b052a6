"""What a request must say, and that everything else is refused with a text that names the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.controller import operations
from kernelfleet.controller.door import validation
from kernelfleet.controller.door.validation import (
    BadRequest,
    UnknownOperation,
    check,
    shown,
)

EXECUTE = {
    "type": "request",
    "operation": "execute",
    "targets": [0],
    "result_id": "r",
    "content": {"code": "1"},
}
PUSH = {"type": "request", "operation": "push", "targets": [0, 1], "result_id": "r"}


def test_sound_requests_pass() -> None:
    assert check(EXECUTE, 0) == "execute"
    assert check({**PUSH, "payloads": [1, 2], "assign": [1, 0]}, 3) == "push"
    assert check({"type": "request", "operation": "get_properties", "targets": []}, 0)


@pytest.mark.parametrize(
    ("change", "buffers", "text"),
    [
        ({"type": "wish"}, 0, "unknown message type 'wish'"),
        ({"operation": ["execute"]}, 0, "no verb a list of 1"),
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


@pytest.mark.parametrize("verb", sorted(validation.CALLS))
def test_every_call_has_its_fields_in_the_table_and_needs_them(verb: str) -> None:
    assert verb in operations.CALLS
    optional = validation.MAY_BE_MISSING | {
        name for of, name in validation.MAY_BE_MISSING_OF if of == verb
    }
    for name in validation.CALLS[verb].keys() - optional:
        good = {"type": "request", "operation": verb, **{key: [] for key in validation.CALLS[verb]}}
        del good[name]
        with pytest.raises(BadRequest, match=f"{name} is missing"):
            check(good, 0)


def test_the_table_has_every_call_and_an_unknown_verb_is_told_from_a_malformed_request() -> None:
    assert set(validation.CALLS) == set(operations.CALLS)
    with pytest.raises(UnknownOperation, match="no verb 'fly'"):
        check({"type": "request", "operation": "fly"}, 0)


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
