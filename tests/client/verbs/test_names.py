"""names.py: what names a variable, and what does not."""

from __future__ import annotations

import pytest

from kernelfleet.client.verbs.names import call_label, checked_name, checked_names


@pytest.mark.parametrize("name", ["a", "_x1", "model.coef_", "größe"])
def test_identifiers_and_paths_of_them_are_names(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "1a", "a b", "a..b", "a[0]", ".a"])
def test_other_text_names_no_variable(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a variable"):
        checked_name(name)


def test_a_keyword_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="'class' is a keyword"):
        checked_name("model.class")


@pytest.mark.parametrize("name", [3, None, b"a"])
def test_what_is_no_text_is_no_name(name: object) -> None:
    with pytest.raises(TypeError, match="names that are strings"):
        checked_name(name)


def test_several_names_come_in_a_list_or_a_tuple() -> None:
    assert checked_names("a") == ["a"]
    assert checked_names(("a", "b")) == checked_names(["a", "b"]) == ["a", "b"]
    with pytest.raises(TypeError, match="not set"):
        checked_names({"a", "b"})  # type: ignore[arg-type]


def test_a_call_is_shown_with_its_first_names() -> None:
    assert call_label("push", ["a", "b"]) == "push('a', 'b')"
    assert call_label("pull", list("abcdef")) == "pull('a', 'b', 'c', 'd', 'e', ...)"
