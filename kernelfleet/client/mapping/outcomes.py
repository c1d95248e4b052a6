"""What became of the items of a batch, read from an engine's answer.

An engine runs a batch as one call. It reports where the output of each item ends, so that the
output of the batch can be cut into that of its items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from kernelfleet.client.mapping.batches import Batch, Item, Outcome
from kernelfleet.client.results.decode import error_of_item
from kernelfleet.client.results.replies import Part
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.serialize import total_bytes, unpack

Cut = TypeVar("Cut", str, list[JsonDict])


def read_outcomes(batch: Batch, part: Part) -> tuple[int, Iterator[Outcome], int]:
    """How many items were run, the outcome of each, and how many bytes travelled for them.

    The outcomes are made one at a time: the garbage collector looks at every object of the process
    when some ten thousand new ones are kept, which took as long as all else that a map does here.

    Raises:
        Exception: whatever the user's classes raise when they are unpickled.
    """
    values, ends = unpack(unpack(part.frames))
    items, count = batch.items, len(values)
    failed = {
        item: _failed(item, value, batch, part)
        for item, (status, value) in zip(items, values, strict=False)
        if status != "ok"
    }
    outcomes: Iterator[Outcome] = (
        failed[item] if item in failed else Outcome(item, value, engine=batch.engine)
        for item, (_, value) in zip(items, values, strict=False)
    )
    if not part.outputs.is_empty:
        outcomes = _with_outputs(outcomes, count, part, ends)
    return count, outcomes, batch.size_bytes + total_bytes(part.frames)


def _failed(item: Item, value: JsonDict, batch: Batch, part: Part) -> Outcome:
    overdue = part.result.get("overdue") and value["ename"] == "KeyboardInterrupt"
    error = _overdue(item) if overdue else error_of_item(value, batch.engine)
    return Outcome(item, error=error, traceback=value["traceback"], engine=batch.engine)


def _with_outputs(
    outcomes: Iterator[Outcome], count: int, part: Part, ends: dict[str, list[int]]
) -> Iterator[Outcome]:
    stdout, stderr = (
        cut(part.outputs.text(name), ends.get(name), count) for name in ("stdout", "stderr")
    )
    parts = _outputs(part.outputs.outputs(), ends, stdout, stderr)
    for outcome, out, err, shown in zip(outcomes, stdout, stderr, parts, strict=True):
        outcome.stdout, outcome.stderr, outcome.outputs = out, err, shown
        yield outcome


def _outputs(
    every: list[JsonDict], ends: dict[str, list[int]], stdout: list[str], stderr: list[str]
) -> Sequence[Sequence[JsonDict]]:
    """The outputs of each item; those of an only item as they are."""
    if not every:  # what was shown has been cleared
        return [()] * len(stdout)
    if len(stdout) == 1:
        return [every]
    shown = [each for each in every if each["output_type"] != "stream"]
    told: list[int] = ends.get("display") or [0]
    # Where outputs were cleared or replaced, the counts do not fit and are not used.
    parts = cut(shown, told if told[-1] == len(shown) else None, len(stdout))
    return [
        [*_stream("stdout", out), *_stream("stderr", err), *part]
        for out, err, part in zip(stdout, stderr, parts, strict=True)
    ]


def _stream(name: str, text: str) -> list[JsonDict]:
    return [{"output_type": "stream", "name": name, "text": text}] if text else []


def cut(whole: Cut, ends: Sequence[int] | None, count: int) -> list[Cut]:
    """Cut the text, or the list, of a batch into that of its items.

    Args:
        whole: What the batch has printed or displayed.
        ends: Where that of each item ends. If it is not known, the first item gets everything;
            what comes behind the last end goes to the last item.
        count: How many items there are.
    """
    if not whole or not count:
        return [whole[:0] for _ in range(count)]
    told: list[int] = list(ends) if ends and len(ends) == count else [len(whole)] * count
    starts = [0, *told[:-1]]
    stops = [*told[:-1], len(whole)]
    return [whole[start:stop] for start, stop in zip(starts, stops, strict=True)]


def _overdue(item: Item) -> TimeoutError:
    return TimeoutError(f"the task did not end within {item.timeout:g} s and was interrupted")
