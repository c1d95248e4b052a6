"""What each engine has worked on, and when: the data of ``mec.timeline()``, bounded.

A *span* is the time from sending a request to a kernel until it has ended there. Spans are numbered
through the whole fleet, in the order in which they ended, so whoever has seen all up to some number
asks for the later ones only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from kernelfleet.controller.requests import Request
from kernelfleet.wire.messages import JsonDict

#: How many spans are kept in all; a large fleet keeps fewer of each engine.
MAX_SPANS = 100_000
#: How many spans of each engine are kept, however many engines there are.
MIN_PER_ENGINE = 20
#: A reply has at most so many spans, so that the controller's loop is never busy with it for long.
SPANS_PER_REPLY = 5000
#: A client may send a label of any length; so many characters of it are kept.
MAX_LABEL = 240


class Span(NamedTuple):
    """One request on one engine, after its end; ``SpanRow`` describes the fields."""

    number: int
    engine: int
    call: str
    what: str
    operation: str
    started: float
    seconds: float
    waited: float
    outcome: str
    error: str


_number_of = attrgetter("number")


class Timeline:
    """The recent spans of each engine.

    Args:
        per_engine: How many are kept of each engine in a small fleet.
    """

    def __init__(self, per_engine: int) -> None:
        self._per_engine = per_engine
        self._spans: dict[int, deque[Span]] = {}
        self.last_number = 0

    def add(
        self, engine_id: int, request: Request, started: float, now: float, result: JsonDict
    ) -> None:
        """Take a request that has ended on an engine.

        The engine's own clock says how long it took, where it told that: our own also counts the
        way there and back. When it began is told by our clock, because those of several machines
        differ.

        Args:
            engine_id: The engine.
            request: What ran there.
            started: When it was sent, in seconds since the epoch.
            now: When it ended.
            result: How it ended.
        """
        spans = self._spans.get(engine_id)
        if spans is None:
            spans = self._make_room(engine_id)
        seconds = now - started
        completed = result.get("completed")
        if completed is not None:
            told = completed - result.get("started", completed)
            seconds = min(seconds, told) if told >= 0 else seconds
        outcome, error = ("ok", "") if result["ok"] else _failure(result)
        self.last_number += 1
        what = request.label
        spans.append(
            Span(
                self.last_number, engine_id, request.call,
                what if len(what) <= MAX_LABEL else what[: MAX_LABEL - 3] + "...",
                request.operation.name, started, max(0.0, seconds),
                max(0.0, started - request.asked), outcome, error,
            )
        )  # fmt: skip
        if len(spans) > self._per_engine:
            spans.popleft()

    def _make_room(self, engine_id: int) -> deque[Span]:
        spans = self._spans[engine_id] = deque()
        fair = max(MIN_PER_ENGINE, MAX_SPANS // len(self._spans))
        if fair < self._per_engine:
            self._per_engine = fair
            for each in self._spans.values():
                while len(each) > fair:
                    each.popleft()
        return spans

    def since(
        self, number: int, call: str | None = None, most: int = SPANS_PER_REPLY
    ) -> tuple[list[Span], int, bool]:
        """The kept spans that have ended after that of a number, in the order of their numbers.

        Args:
            number: That of the last span which is known already.
            call: Only spans of this call.
            most: How many spans are returned.

        Returns:
            The spans, the number to ask with next time, and whether more are there already.
        """
        later = merge(
            *(
                islice(spans, bisect_right(spans, number, key=_number_of), None)
                for spans in self._spans.values()
                if spans and spans[-1].number > number
            ),
            key=_number_of,
        )
        chosen = later if call is None else (span for span in later if span.call == call)
        found = list(islice(chosen, most + 1))
        if len(found) <= most:
            return found, max(number, self.last_number), False
        return found[:most], found[most - 1].number, True


def _failure(result: JsonDict) -> tuple[str, str]:
    """How a request has failed: one word, and the name of its error."""
    error = result.get("error") or {}
    name = str(error.get("ename", ""))[:MAX_LABEL]
    if name == "KeyboardInterrupt":
        return "interrupted", name
    return ("error" if error.get("kind", "user") != "engine" else "lost"), name
