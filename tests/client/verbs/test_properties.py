"""properties.py: what may label an engine."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kernelfleet.client.verbs.properties import checked_keys, checked_properties
from kernelfleet.errors import InvalidProperty


@pytest.mark.parametrize(
    "value", [None, True, 3, 2.5, "text", "\u00e9", [1, [2]], {"a": {"b": None}}, [], {}], ids=repr
)
def test_json_values_are_properties(value: Any) -> None:
    assert checked_properties({"label": value}) == {"label": value}


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"bytes", math.nan, math.inf, (1, 2), {1: 2}, 1j, [len]],
    ids=lambda value: type(value).__name__,
)
def test_what_json_does_not_give_back_is_no_property(value: Any) -> None:
    with pytest.raises(InvalidProperty, match="'label' is not JSON"):
        checked_properties({"fine": 1, "label": value})


def test_a_property_that_holds_itself_is_none() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidProperty):
        checked_properties({"label": endless})


def test_names_are_strings() -> None:
    with pytest.raises(InvalidProperty, match="strings"):
        checked_properties({1: 2})
    with pytest.raises(TypeError):
        checked_properties([("a", 1)])


def test_properties_are_a_copy() -> None:
    mine = {"a": [1]}
    checked = checked_properties(mine)
    mine["a"].append(2)
    assert checked == {"a": [1]}


def test_keys_are_one_name_or_several() -> None:
    assert checked_keys("a") == ["a"]
    assert checked_keys(("a", "b")) == ["a", "b"]
    for wrong in (None, 1, [1], {"a"}):
        with pytest.raises(TypeError):
            checked_keys(wrong)
