"""The little language of targets: what it understands, and that it evaluates nothing."""

from __future__ import annotations

import pytest

from kernelfleet.client.grammar import as_text, parse_targets


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("all", "all"),
        ("0", 0),
        ("0,2", [0, 2]),
        ("2, 0, 2", [2, 0, 2]),
        ("3,", 3),
        ("1:4", slice(1, 4)),
        ("::2", slice(None, None, 2)),
        ("-1:", slice(-1, None)),
        ("-1", slice(-1, None)),
        ("-2", slice(-2, -1)),
        (":", slice(None, None)),
        ("0,-1", [0, 3]),
        ("0,2:", [0, 2, 3]),
        ("all,0", [0, 1, 2, 3, 0]),
    ],
)
def test_targets_are_read(text: str, targets: object) -> None:
    assert parse_targets(text, [0, 1, 2, 3]) == targets


@pytest.mark.parametrize(
    "text", ["", "x", "range(4)", "__import__('os')", "1.5", "0;1", "1:2:0", "[0,1]", "1:2:3:4"]
)
def test_everything_else_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(ValueError, match="targets are all, 0, 0,2"):
        parse_targets(text, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        ("all", "all"),
        (2, "2"),
        ([0, 2], "[0, 2]"),
        (slice(1, None), "1:"),
        (slice(0, 4, 2), "0:4:2"),
    ],
)
def test_targets_are_told_as_one_would_write_them(targets: object, text: str) -> None:
    assert as_text(targets) == text


def test_slices_count_in_the_order_of_ids_and_all_in_that_of_the_fleet() -> None:
    assert parse_targets("7,-1", [10, 2, 7]) == [7, 10]
    assert parse_targets("0:1,7", [10, 2, 7]) == [2, 7]
    assert parse_targets("all,7", [10, 2, 7]) == [10, 2, 7, 7]
