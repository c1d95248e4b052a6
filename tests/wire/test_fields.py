"""Checks that are made of types: what fits, what does not, and the words for it."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import pytest

from kernelfleet.wire.fields import MAX_TARGETS, Moment, Seconds, Size, Sizes, Targets, fields_of


def message(annotation: Any) -> type:
    """A message of one field."""
    return type("Message", (), {"__annotations__": {"field": annotation}})


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("annotation", "words", "good", "bad"),
    [
        (str, "text", ["", "a"], [None, 1, []]),
        (bool, "true or false", [True, False], [0, 1, None]),
        (int, "an integer", [0, -1, 10**400], [True, 1.0, "1", None]),
        (float, "a number", [0, 1.5, -1], [True, "1"]),
        (list[str], "a list of texts", [[], ["a"]], ["a", [1], None]),
        (dict[str, Any], "an object", [{}], [[], None]),
        (Any, "anything", [None, [], 1], []),
        (Size, "an integer from 0 on", [0, 7], [-1, True, 1.0]),
        (Sizes, "a list of integers from 0 on", [[], [0, 1]], [[-1], [True], 1]),
        (Targets, "a list of engine ids, at most 100000", [[], [3, 3]], [[True], [0.0], "all"]),
        (Seconds, "a number of seconds", [0, 1.5], [-1, True, INFINITY, NAN, 10**400]),
        (Moment, "seconds since 1970", [0, 1e300], [-1, True, INFINITY, NAN]),
        (int | None, "an integer or null", [None, 1], [True, "1"]),
        (Seconds | None, "a number of seconds or null", [None, 1], [-1]),
    ],
)
def test_a_type_is_a_check(annotation: Any, words: str, good: list[Any], bad: list[Any]) -> None:
    (field,) = fields_of(message(annotation)).values()
    assert (field.check.words, field.required) == (words, True)
    assert [value for value in good if not field.check.fits(value)] == []
    assert [value for value in bad if field.check.fits(value)] == []


def test_targets_are_bounded() -> None:
    (field,) = fields_of(message(Targets)).values()
    assert field.check.fits([0] * MAX_TARGETS)
    assert not field.check.fits([0] * (MAX_TARGETS + 1))


class Base(TypedDict):
    needed: str


class Derived(Base):
    optional: NotRequired[list[str] | None]


def test_fields_are_inherited_and_may_be_missing() -> None:
    fields = fields_of(Derived)
    assert [(name, field.required) for name, field in fields.items()] == [
        ("needed", True),
        ("optional", False),
    ]
    assert fields["optional"].check.fits(None)


def test_a_type_that_says_nothing_to_check_is_refused_when_it_is_declared() -> None:
    with pytest.raises(TypeError, match="no check is known for dict"):
        fields_of(message(dict[int, int]))
