"""What became of the items of a batch, read from an engine's answer.

An engine runs a batch as one call. It reports where the output of each item ends, so that the
output of the batch can be cut into that of its items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from kernelfleet.client.mapping.batches import Batch, Item, Outcome
from kernelfleet.client.results.decode import error_of_item
from kernelfleet.client.results.replies import Part
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.serialize import total_bytes, unpack

Cut = TypeVar("Cut", str, list[JsonDict])


def read_outcomes(batch: Batch, part: Part) -> tuple[list[Outcome], int]:
    """The outcome of each item that was run, and how many bytes travelled for them.

    Raises:
        Exception: whatever the user's classes raise when they are unpickled.
    """
    result, frames = part.result, part.frames
    values, ends = unpack(unpack(frames))
    count = len(values)
    stdout, stderr = (
        cut(part.outputs.text(name), ends.get(name), count) for name in ("stdout", "stderr")
    )
    outputs = _outputs(part.outputs.outputs(), ends, stdout, stderr)
    outcomes = []
    for i, (item, (status, value)) in enumerate(zip(batch.items, values, strict=False)):
        outcome = Outcome(
            item, engine=batch.engine, stdout=stdout[i], stderr=stderr[i], outputs=outputs[i]
        )
        if status == "ok":
            outcome.value = value
        else:
            outcome.traceback = value["traceback"]
            overdue = result.get("overdue") and value["ename"] == "KeyboardInterrupt"
            outcome.error = _overdue(item) if overdue else error_of_item(value, batch.engine)
        outcomes.append(outcome)
    return outcomes, batch.size_bytes + total_bytes(frames)


def _outputs(
    every: list[JsonDict], ends: dict[str, list[int]], stdout: list[str], stderr: list[str]
) -> Sequence[Sequence[JsonDict]]:
    """The outputs of each item; those of an only item as they are."""
    if not every:
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
