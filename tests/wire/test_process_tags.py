"""The mark of an engine's family: what carries it, and that nobody else is taken for one of it."""

from __future__ import annotations

import pytest

from kernelfleet.wire import process_tags

A, B = "a" * 32, "b" * 32


def test_a_marked_environment_is_known_by_its_mark_only() -> None:
    environment = process_tags.added_to({"HOME": "/"}, A)
    assert environment["HOME"] == "/"
    assert process_tags.is_in_environment(environment, {A})
    assert not process_tags.is_in_environment(environment, {B})
    assert not process_tags.is_in_environment({"HOME": "/"}, {A})


def test_a_fleet_inside_an_engine_carries_both_marks() -> None:
    environment = process_tags.added_to(process_tags.added_to({}, A), B)
    assert process_tags.is_in_environment(environment, {A})
    assert process_tags.is_in_environment(environment, {B})


def test_an_empty_environment_carries_not_even_an_empty_mark() -> None:
    assert not process_tags.is_in_environment({}, {A})
    assert process_tags.file_name({}) is None


@pytest.mark.parametrize("inner", [[], [B]], ids=["one engine", "an engine in an engine"])
def test_the_memory_file_is_known_by_what_the_system_shows_of_it(inner: list[str]) -> None:
    environment = process_tags.added_to({}, A)
    for each in inner:
        environment = process_tags.added_to(environment, each)
    link = f"/memfd:{process_tags.file_name(environment)} (deleted)"
    assert process_tags.is_in_link(link, {A})
    assert process_tags.is_in_link(link, {B}) == bool(inner)
    assert not process_tags.is_in_link(link, {"c" * 32})


@pytest.mark.parametrize("link", ["/memfd:kernelfleet (deleted)", "socket:[1]", "/tmp/" + A, ""])
def test_other_files_are_not_taken_for_it(link: str) -> None:
    assert not process_tags.is_in_link(link, {A})


def test_however_deep_fleets_are_nested_the_name_is_one_the_system_allows() -> None:
    environment: dict[str, str] = {}
    for i in range(20):
        environment = process_tags.added_to(environment, f"{i:032}")
    assert len(process_tags.file_name(environment) or "") <= 249


def test_the_own_mark_is_the_innermost() -> None:
    assert process_tags.own_mark({}) is None
    assert process_tags.own_mark({process_tags.VARIABLE: ""}) is None
    assert process_tags.own_mark(process_tags.added_to(process_tags.added_to({}, "a"), "b")) == "b"
