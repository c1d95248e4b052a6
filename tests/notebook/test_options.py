"""The line of ``%%px``: what it understands and how it complains."""

from __future__ import annotations

import re

import pytest
from IPython.core.error import UsageError

from kernelfleet.notebook import options
from kernelfleet.notebook.options import CellOptions, cell_options, fleet_parser, special, words_of


def test_an_empty_line_leaves_all_to_the_client() -> None:
    assert cell_options("") == CellOptions()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-t -1:", CellOptions(targets="-1:")),
        ("--targets 0,2", CellOptions(targets="0,2")),
        ("--targets=::2", CellOptions(targets="::2")),
        ("--noblock -o pr", CellOptions(block=False, out="pr")),
        ("-a", CellOptions(block=False)),
        ("-b --timeout 2.5", CellOptions(block=True, timeout=2.5)),
        ("--push a,b --pull c", CellOptions(push=["a", "b"], pull=["c"])),
        ("--local --no-collapse", CellOptions(local=True, collapse=False)),
        ("--on-error keep --no-progress", CellOptions(on_error="keep", progress=False)),
    ],
)
def test_options_are_read(line: str, expected: CellOptions) -> None:
    assert cell_options(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "print(1)",
        "--unknown",
        "--block --noblock",
        "--timeout soon",
        "--timeout -1",
        "--out 1x",
        "--push a-b",
        "--on-error ignore",
        "-t",
        "'unclosed",
    ],
)
def test_a_line_that_makes_no_sense_is_a_usage_error(line: str) -> None:
    with pytest.raises(UsageError, match="%%px"):
        cell_options(line)


def test_a_timeout_that_is_no_number_is_called_so() -> None:
    with pytest.raises(UsageError, match="'soon' is no number of seconds"):
        cell_options("--timeout soon")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("start -n 2 --mpi", {"mpi": True}),
        ("start --mpiexec 'srun -n {n}'", {"mpiexec": "srun -n {n}"}),
        ("start", {}),
    ],
)
def test_how_engines_are_to_be_started_is_passed_on(line: str, expected: dict[str, object]) -> None:
    given = fleet_parser().parse_args(words_of(line))
    assert special(given) == expected


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("scale x", "a fleet has at least one engine, not 'x'"),
        ("scale 0", "a fleet has at least one engine, not '0'"),
        ("start -n 1.5", "a fleet has at least one engine, not '1.5'"),
        ("cells -n -1", "a fleet has at least one engine, not '-1'"),
        ("logs -n -5", "a number of lines is 0 or more, not '-5'"),
        ("logs -e x", "an engine has a number from 0 on, not 'x'"),
        ("top --for -1", "-1 s is no time to wait"),
        ("top --for nan", "nan s is no time to wait"),
        ("timeline --last -1", "-1 s is no time to wait"),
    ],
)
def test_what_is_no_number_of_something_is_refused_with_what_it_is_to_be(
    line: str, told: str
) -> None:
    with pytest.raises(UsageError, match=f"{re.escape(told)}\nusage: %fleet "):
        fleet_parser().parse_args(words_of(line))


def test_the_options_of_one_line_are_not_those_of_the_next() -> None:
    first = cell_options("--push a,b --pull c -t 0 --noblock")
    assert (first.push, first.pull, first.targets, first.block) == (["a", "b"], ["c"], "0", False)
    assert cell_options("") == CellOptions()


def test_no_parser_is_made_for_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    cell_options("")
    monkeypatch.setattr(options.Parser, "__init__", lambda *_, **__: pytest.fail("was made"))
    assert cell_options("--local").local


def test_a_line_with_an_odd_quote_is_taken_word_by_word() -> None:
    assert words_of("start --as don't") == ["start", "--as", "don't"]
