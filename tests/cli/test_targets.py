"""Which words name engines, and which engines they name."""

from __future__ import annotations

import pytest

from kernelfleet.cli.exits import UsageError
from kernelfleet.cli.targets import engine_ids, split_words


@pytest.mark.parametrize(
    ("words", "names", "targets"),
    [
        ([], [], "all"), (["sweep"], ["sweep"], "all"), (["2", "sweep"], ["sweep"], "2"),
        (["sweep", "0,2"], ["sweep"], "0,2"), (["-1:"], [], "-1:"),
    ],
)  # fmt: skip
def test_numbers_name_engines_and_other_words_a_fleet(
    words: list[str], names: list[str], targets: str
) -> None:
    assert split_words(words) == (names, targets)


def test_two_words_that_name_engines_are_a_mistake() -> None:
    with pytest.raises(UsageError, match="one word, 0,2, without blanks"):
        split_words(["0", "2"])


@pytest.mark.parametrize(
    ("text", "ids"),
    [("all", [0, 1, 5]), ("5", [5]), ("1,5,1", [1, 5]), ("-1:", [5]), ("0:2", [0, 1])],
)
def test_engines_are_named_each_once(text: str, ids: list[int]) -> None:
    assert engine_ids(text, [0, 1, 5]) == ids


def test_what_names_no_engines_is_refused() -> None:
    with pytest.raises(UsageError):
        engine_ids("1:2:0", [0, 1])
