"""What can be packed again is told from what cannot, before anybody tries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.wire.json_safe import (
    MAX_DEPTH,
    nested_too_deep,
    why_not_packable,
)

texts = st.text(st.characters(), max_size=5)  # with surrogates, which a plain text() leaves out
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)


def nested(depth: int, kind: str = "list") -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


@given(json_values)
def test_what_is_packable_is_what_a_kernel_can_be_sent(value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        packable = True
    except ValueError:
        packable = False
    assert (why_not_packable(value) is None) == packable


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": [1, {"b": float("inf")}]}, "a number is inf"),
        ([float("nan")], "a number is nan"),
        ({"a": "\ud800"}, "half a surrogate pair"),
        ({"\udfff": 1}, "half a surrogate pair"),
        (nested(MAX_DEPTH + 1), "nested deeper than 200"),
        (nested(MAX_DEPTH + 1, "dict"), "nested deeper than 200"),
    ],
    ids=lambda each: str(each)[:20],
)
def test_what_is_not_says_why(value: Any, why: str) -> None:
    assert why in str(why_not_packable(value))


def test_whole_characters_beyond_16_bits_are_fine() -> None:
    assert why_not_packable(json.loads('"\\ud83d\\ude00"')) is None


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_depth_is_told_without_a_limit_of_its_own(kind: str) -> None:
    assert why_not_packable(nested(MAX_DEPTH - 1, kind)) is None
    assert why_not_packable(nested(100_000, kind)) is not None
    for depth, too_deep in ((MAX_DEPTH - 1, False), (MAX_DEPTH + 1, True), (100_000, True)):
        assert nested_too_deep(b"[" * 1000, nested(depth, kind)) is too_deep


def test_what_has_few_brackets_is_not_walked() -> None:
    assert not nested_too_deep(b"[" * MAX_DEPTH, nested(1000))
