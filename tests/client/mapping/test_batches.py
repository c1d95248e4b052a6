"""batches.py: items that wait, and what batches have printed."""

from __future__ import annotations

from kernelfleet.client.mapping.batches import Backlog, Item, Printed
from kernelfleet.client.results.outputs import OutputAggregator


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
    backlog.put([*items(1), *items(2, deaths=1), *items(3, timeout=1.0), *items(4, errors=1)])
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


def test_what_was_printed_is_collected_by_engine() -> None:
    printed = Printed()
    for engine, name in ((0, "stdout"), (0, "stdout"), (1, "stderr"), (2, "")):
        folder = OutputAggregator()
        if name:
            folder.add("stream", {"name": name, "text": "a"})
        printed.add(engine, folder)
    assert printed.texts == {"stdout": {0: "aa"}, "stderr": {1: "a"}}
    out = {"output_type": "stream", "name": "stdout", "text": "aa"}
    assert printed.outputs == {0: [out], 1: [{**out, "name": "stderr", "text": "a"}]}


def test_what_was_cleared_was_printed_all_the_same() -> None:
    printed, folder = Printed(), OutputAggregator()
    folder.add("stream", {"name": "stdout", "text": "a"})
    folder.add("clear_output", {})
    printed.add(0, folder)
    assert (printed.texts["stdout"], printed.outputs) == ({0: "a"}, {})


def test_an_item_with_a_time_limit_shares_its_batch_with_nobody() -> None:
    backlog = Backlog()
    backlog.put([*items(1, timeout=1.0), *items(2, 3), *items(4, timeout=1.0)])
    assert [keys(backlog.take(None, 9)) for _ in range(3)] == [[1], [2, 3], [4]]


def test_displays_of_batches_are_kept_as_they_are_between_what_was_printed() -> None:
    printed = Printed()
    shown = {"data": {"text/plain": "d"}, "metadata": {}, "transient": {}}
    for _ in range(2):
        folder = OutputAggregator()
        folder.add("display_data", shown)
        folder.add("display_data", shown)
        folder.add("stream", {"name": "stdout", "text": "a"})
        printed.add(0, folder)
    kinds = [output["output_type"] for output in printed.outputs[0]]
    assert kinds == ["display_data", "display_data", "stream"] * 2
