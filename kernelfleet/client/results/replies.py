"""What comes back for a request: its header, and per target the frames of data and outputs.

Outputs stay packed until somebody looks at them, in the thread that looks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelfleet.client.results.outputs import OutputAggregator, fold
from kernelfleet.wire.messages import JsonDict


class Part:
    """What came back from one target: what is said about it, its data, and its outputs.

    Attributes:
        result: What is said about it.
        frames: Its data.
    """

    __slots__ = ("_folder", "_pages", "frames", "result")

    def __init__(
        self, result: JsonDict, frames: Sequence[Any] = (), pages: Sequence[Any] = ()
    ) -> None:
        self.result, self.frames = result, frames
        self._pages = pages
        self._folder: OutputAggregator | None = None

    @property
    def outputs(self) -> OutputAggregator:
        """Its outputs, unpacked when somebody looks for the first time; from any thread."""
        pages = self._pages  # first: whoever drops them has set the folder before
        folder = self._folder
        if folder is None:
            folder = self._folder = fold(pages)
            self._pages = ()
        return folder


@dataclass(slots=True)
class Reply:
    """What came back for one request: the header, and the frames of data and outputs."""

    header: JsonDict
    buffers: list[Any]
    _parts: list[Part] | None = field(default=None, compare=False, repr=False)

    def parts(self) -> list[Part]:
        """What came back from each target, in their order; from any thread."""
        buffers = self.buffers  # first: whoever drops them has set the parts before
        parts = self._parts
        if parts is None:
            rest = iter(buffers)
            parts = [
                Part(
                    result,
                    list(itertools.islice(rest, result.get("buffers", 0))),
                    list(itertools.islice(rest, result.get("outputs", 0))),
                )
                for result in self.header.get("results", ())
            ]
            self._parts, self.buffers = parts, []  # what has been unpacked is not kept twice
        return parts


def so_far(progress: Reply) -> list[Part]:
    """What the targets of a running request have put out, from the answer to ``progress``."""
    pages = iter(progress.buffers)
    return [
        Part({"id": engine_id}, pages=list(itertools.islice(pages, count)))
        for engine_id, count in progress.header["value"]["outputs"]
    ]


def printed(parts: Iterable[Part], stream: str) -> dict[int, str]:
    """All that each engine has printed, cleared or not; an engine that was named twice has two."""
    texts: dict[int, str] = {}
    for part in parts:
        engine_id = part.result["id"]
        texts[engine_id] = texts.get(engine_id, "") + part.outputs.text(stream)
    return texts
