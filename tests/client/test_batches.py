"""batches.py: items that wait, and a batch's prints cut into those of its items."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.client.batches import Backlog, Item, Printed, cut


def items(*keys: int, engines: frozenset[int] | None = None, **options: float) -> list[Item]:
    return [Item(key, None, engines=engines, **options) for key in keys]  # type: ignore[arg-type]


def keys(taken: list[Item]) -> list[int]:
    return [item.key for item in taken]


def test_what_was_sent_before_comes_first() -> None:
    backlog = Backlog()
    backlog.put(items(3, 4))
    backlog.put_first(items(1, 2))
    assert len(backlog) == 4
    assert list(backlog.waiting()) == [(None, 4)]
    assert keys(backlog.take(None, 3)) == [1, 2, 3]
    assert keys(backlog.take(None, 3)) == [4]
    assert list(backlog.waiting()) == []


def test_an_item_that_may_have_killed_an_engine_travels_alone() -> None:
    backlog = Backlog()
    backlog.put([*items(1), *items(2, deaths=1), *items(3, timeout=1.0), *items(4, failures=1)])
    backlog.put(items(5, 6))
    batches = [keys(backlog.take(None, 9)) for _ in range(5)]
    assert batches == [[1], [2], [3], [4], [5, 6]]


def test_items_that_only_some_engines_can_run_come_first_and_share_no_batch_with_others() -> None:
    backlog, gpu = Backlog(), frozenset({1})
    backlog.put([*items(1), *items(2, engines=gpu), *items(3), *items(4, engines=gpu)])
    assert list(backlog.waiting()) == [(gpu, 2), (None, 2)]
    assert keys(backlog.take(gpu, 9)) == [2, 4]
    assert keys(backlog.clear(lambda engines: engines is None)) == [1, 3]
    assert len(backlog) == 0


@pytest.mark.parametrize(
    ("text", "ends", "count", "parts"),
    [
        ("aabbb", [2, 5], 2, ["aa", "bbb"]),
        ("aa", [2, 2, 2], 3, ["aa", "", ""]),
        ("aabb+late", [2, 4], 2, ["aa", "bb+late"]),
        ("", None, 2, ["", ""]),
        ("all", None, 2, ["all", ""]),
        ("all", [3], 2, ["all", ""]),
        ("none ran", [], 0, []),
    ],
)
def test_a_batchs_text_is_cut_where_each_item_ended(
    text: str, ends: list[int] | None, count: int, parts: list[str]
) -> None:
    assert cut(text, ends, count) == parts


@given(st.lists(st.text(max_size=5), min_size=1))
def test_cutting_loses_nothing(parts: list[str]) -> None:
    ends = [sum(map(len, parts[: i + 1])) for i in range(len(parts))]
    assert cut("".join(parts), ends, len(parts)) == parts


def test_what_was_printed_is_collected_by_engine() -> None:
    printed = Printed()
    out = {"output_type": "stream", "name": "stdout", "text": "a"}
    printed.add(0, {"outputs": [out]})
    printed.add(0, {"outputs": [out], "stdout": "a, and what was cleared"})
    printed.add(1, {"outputs": [{**out, "name": "stderr"}]})
    printed.add(2, {})
    assert printed.texts["stdout"] == {0: "aa, and what was cleared"}
    assert printed.texts["stderr"] == {1: "a"}
    assert {engine: len(outputs) for engine, outputs in printed.outputs.items()} == {0: 2, 1: 1}
