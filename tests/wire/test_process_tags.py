"""The mark of an engine's family: what carries it, and that nobody else is taken for one of it."""

from __future__ import annotations

import os
import subprocess
import sys

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


#: Ends the carriers of a mark, one of which it is itself.
END = """
import os, sys
from kernelfleet.wire import process_tags
process_tags.end_carriers({sys.argv[1]})
print("alive")
"""


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="finds processes in /proc")
def test_who_ends_the_carriers_of_a_mark_ends_all_others_in_whatever_session() -> None:
    def sleeper(mark: str) -> subprocess.Popen[bytes]:
        environment = process_tags.added_to(os.environ, mark)
        return subprocess.Popen(["sleep", "300"], env=environment, start_new_session=True)

    with sleeper(A) as carrier, sleeper(B) as other:
        try:
            ended = subprocess.run(
                [sys.executable, "-c", END, A],
                env=process_tags.added_to(os.environ, A),
                capture_output=True,
                timeout=20,
                check=True,
            )
            assert ended.stdout == b"alive\n"
            assert carrier.wait(10) == -9
            assert other.poll() is None
        finally:
            carrier.kill()
            other.kill()
