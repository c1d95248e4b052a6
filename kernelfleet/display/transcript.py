"""The lines that one engine has put out so far, for the live view of a running command.

Pure: output messages in, lines out. A transcript behaves like a terminal of unlimited width: a
carriage return goes back to the start of the line, so a progress bar is one line however often it
is updated. Only the last lines are kept, because the final form is made from the result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: How many lines of one engine are kept for the live view.
KEPT_LINES = 200
#: In the live view a line does not grow further when it has so many characters.
MAX_LINE_CHARACTERS = 20_000


@dataclass(eq=False)
class Line:
    """One line, and the column in which the next character is written."""

    stream: str  # 'stdout', 'stderr', 'display' or 'value'
    text: str = ""
    column: int = 0
    #: The number of the command, if the line is the value of a last expression.
    number: int | None = None

    def write(self, piece: str) -> None:
        """Write a text that has no line ends, from the present column on."""
        for index, part in enumerate(piece.split("\r")):
            if index:
                self.column = 0
            end = self.column + len(part)
            self.text = self.text[: self.column] + part + self.text[end:]
            self.column = end


class Transcript:
    """The lines of one engine.

    Args:
        collect: Whether all complete lines are kept until ``take_finished`` returns them.
    """

    def __init__(self, *, collect: bool = False) -> None:
        self._lines: deque[Line] = deque(maxlen=KEPT_LINES)
        self._collect = collect
        self._open: dict[str, Line] = {}
        self._displays: dict[str, Line] = {}
        self._clear_before_next = False
        #: Lines that are complete and have not been taken.
        self._finished: deque[Line] = deque()
        #: How many lines there have been, kept or not.
        self.total = 0
        #: Whether the engine has cleared its output, so that lines may still disappear.
        self.clears = False

    def add(self, msg_type: str, content: Mapping[str, Any]) -> None:
        """Take one output message."""
        if msg_type == "stream":
            self._clear_if_due()
            self._write(str(content.get("name", "stdout")), str(content.get("text", "")))
        elif msg_type == "clear_output":
            self._clear_before_next = self.clears = True
            if not content.get("wait"):
                self._clear_if_due()
        elif msg_type in ("display_data", "execute_result", "update_display_data"):
            self._show(msg_type, content)

    def tail(self, count: int) -> list[Line]:
        """The last lines."""
        return list(self._lines)[-count:]

    def take_finished(self, *, last: bool = False) -> list[Line]:
        """The complete lines that were not taken before.

        If the engine clears its output, the frames of an animation would be printed below each
        other. So there are none then, until the command has ended.

        Args:
            last: Whether the command has ended.
        """
        if self.clears and not last:
            return []
        taken = list(self._finished)
        self._finished.clear()
        return taken

    def take_open(self) -> list[Line]:
        """The lines that have no end yet, for when the command has ended."""
        lines = [line for line in self._open.values() if line.text]
        self._open.clear()
        return lines

    def _write(self, stream: str, text: str) -> None:
        *complete, rest = text.split("\n")
        for piece in complete:
            line = self._open.pop(stream, None) or self._new(stream)
            self._append(line, piece)
            self._finish(line)
        if rest:
            if stream not in self._open:
                self._open[stream] = self._new(stream)
            self._append(self._open[stream], rest)

    def _append(self, line: Line, piece: str) -> None:
        if self._collect or len(line.text) < MAX_LINE_CHARACTERS:
            line.write(piece)

    def _finish(self, line: Line) -> None:
        if self._collect:
            self._finished.append(line)

    def _show(self, msg_type: str, content: Mapping[str, Any]) -> None:
        text = str((content.get("data") or {}).get("text/plain", ""))
        key = (content.get("transient") or {}).get("display_id")
        if key in self._displays:
            self._displays[key].text = text
        if msg_type == "update_display_data":
            return
        self._clear_if_due()
        line = self._new("value" if msg_type == "execute_result" else "display")
        line.text, line.number = text, content.get("execution_count")
        self._finish(line)
        if key is not None:
            self._displays[key] = line

    def _new(self, stream: str) -> Line:
        line = Line(stream)
        self._lines.append(line)
        self.total += 1
        return line

    def _clear_if_due(self) -> None:
        if self._clear_before_next:
            self._clear_before_next = False
            self._lines.clear()
            self._finished.clear()
            self.total = 0
            self._open.clear()
            self._displays.clear()


def fold_returns(text: str) -> str:
    """Printed text as a terminal shows it: carriage returns have taken effect."""
    if "\r" not in text:
        return text
    folded = []
    for piece in text.split("\n"):
        line = Line("")
        line.write(piece)
        folded.append(line.text)
    return "\n".join(folded)
