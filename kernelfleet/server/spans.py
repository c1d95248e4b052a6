"""The recent work of one fleet's engines, for the pages that show its timeline. No I/O."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfleet.server.shapes import Span

#: How much of the past a page gets at first.
PAST_SECONDS = 120.0
#: How many spans are kept, and how many a page gets at once. Of more, the longest are what one
#: would see.
KEPT, MOST_AT_ONCE = 10_000, 1_000


class SpanLog:
    """What has ended in the last minutes, and what runs."""

    def __init__(self) -> None:
        self._spans: deque[Span] = deque(maxlen=KEPT)
        self._instance = ""
        #: Each change has a number. Those of spans begin anew with each controller; these do not.
        self._numbers: deque[int] = deque(maxlen=KEPT)
        self.version = 0
        #: What to ask the controller with for what is new.
        self.mark = 0
        self.running: list[Span] = []

    def take(self, answer: dict[str, Any]) -> bool:
        """Take an answer of the controller. Returns whether it is to be asked again at once."""
        if answer["instance"] != self._instance:
            is_first, self._instance = not self._instance, answer["instance"]
            if not is_first:
                self.mark = 0
                return True
        oldest = answer["now"] - PAST_SECONDS
        for span in answer["spans"]:
            if span["started"] + span["seconds"] >= oldest:
                self.version += 1
                self._spans.append(span)
                self._numbers.append(self.version)
        while self._spans and self._spans[0]["started"] + self._spans[0]["seconds"] < oldest:
            self._spans.popleft()
            self._numbers.popleft()
        if _what(self.running) != _what(answer["running"]):
            self.version += 1
        self.mark, self.running = answer["mark"], answer["running"]
        return bool(answer["more"])

    def since(self, version: int) -> list[Span]:
        """The spans that a page has not seen which has seen a version; the longest of very many."""
        found = []
        for number, span in zip(reversed(self._numbers), reversed(self._spans), strict=True):
            if number <= version:
                break
            found.append(span)
        if len(found) > MOST_AT_ONCE:
            found.sort(key=lambda span: span["seconds"], reverse=True)
            del found[MOST_AT_ONCE:]
        return sorted(found, key=lambda span: span["number"])


def _what(running: list[Span]) -> list[tuple[int, str, float]]:
    """What runs where and since when, without how long it has taken so far."""
    return [(span["engine"], span["call"], span["started"]) for span in running]
