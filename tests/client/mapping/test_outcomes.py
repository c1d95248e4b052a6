"""outcomes.py: what a batch has put out is cut into that of its items."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfleet.client.mapping.batches import Batch, Item, Outcome
from kernelfleet.client.mapping.outcomes import cut, read_outcomes
from kernelfleet.client.results.replies import Part
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.serialize import pack, pack_nested
from kernelfleet.wire.outputs import to_pages


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


def stream(name: str, text: str) -> JsonDict:
    return {"output_type": "stream", "name": name, "text": text}


def shown(text: str) -> JsonDict:
    return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}


def read(count: int, outputs: list[JsonDict], ends: dict[str, list[int]]) -> list[Outcome]:
    batch = Batch(3, [Item(i, None) for i in range(count)], "id", 0, False)
    frames = list(pack(pack_nested(([("ok", i) for i in range(count)], ends))))
    pages = [
        page
        for output in outputs
        for page in to_pages(output["output_type"], json.dumps(output).encode())
    ]
    ran, outcomes, _ = read_outcomes(batch, Part({}, frames, pages))
    assert ran == count
    return list(outcomes)


def test_each_item_has_its_own_prints_and_displays() -> None:
    outputs = [stream("stdout", "ab"), shown("x"), stream("stderr", "e"), shown("y"), shown("z")]
    ends = {"stdout": [1, 2, 2], "stderr": [0, 1, 1], "display": [1, 1, 3]}
    first, second, third = read(3, outputs, ends)
    assert (first.value, first.engine, first.stdout, first.stderr) == (0, 3, "a", "")
    assert first.outputs == [stream("stdout", "a"), shown("x")]
    assert second.outputs == [stream("stdout", "b"), stream("stderr", "e")]
    assert third.outputs == [shown("y"), shown("z")]


def test_the_outputs_of_an_only_item_are_as_they_came() -> None:
    outputs = [shown("x"), stream("stdout", "a"), shown("y")]
    (only,) = read(1, outputs, {"stdout": [1], "display": [2]})
    assert (only.outputs, only.stdout) == (outputs, "a")


def test_displays_that_cannot_be_told_apart_are_the_first_items() -> None:
    first, second = read(2, [shown("x")], {"display": [1, 2]})  # one was cleared
    assert (first.outputs, second.outputs) == ([shown("x")], [])
    assert [each.outputs for each in read(2, [], {})] == [(), ()]
