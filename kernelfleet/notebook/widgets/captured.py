"""What stands in one Output widget. Pure.

In a notebook the frontend collects it and tells the widget; for the widgets of engines the bridge
does, as a frontend knows the requests of its own kernel alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelfleet.client.results.outputs import Output, OutputAggregator, readable

#: Stands above what is left of a text that has grown too long.
LEFT_OUT = "... earlier output of callbacks is left out ...\n"


class Captured:
    """See the module's docstring.

    Args:
        outputs: What stands there already.
        most_characters: Of a longer text the end is kept; None keeps all.
    """

    def __init__(self, outputs: Sequence[Output] = (), most_characters: int | None = None) -> None:
        self._before = list(outputs)
        self._most_characters = most_characters
        #: About how much stands there.
        self.characters = sum(map(_characters, outputs))
        self._clears = False
        self._since = OutputAggregator()

    def add(self, pages: Sequence[Any]) -> None:
        """Take outputs, as pages; what cannot be read is left out."""
        for msg_type, content in readable(pages):
            self.add_one(msg_type, content)

    def add_one(self, msg_type: str, content: dict[str, Any]) -> None:
        """Take one output."""
        if msg_type == "clear_output":
            self._clears = True
        if self._clears and (msg_type != "clear_output" or not content.get("wait")):
            self._before, self._clears, self.characters = [], False, 0
        self._since.add(msg_type, content)
        self.characters += _characters(content)
        if self._most_characters is not None and self.characters > 2 * self._most_characters:
            self._shorten(self._most_characters)

    def _shorten(self, most: int) -> None:
        kept: list[Output] = []
        for output in reversed(self.outputs()):
            if most <= 0:
                break
            if "text" in output:
                output["text"] = output["text"][-most:]
            kept.append(output)
            most -= _characters(output)
        note = {"output_type": "stream", "name": "stderr", "text": LEFT_OUT}
        self._before, self._since = [note, *reversed(kept)], OutputAggregator()
        self.characters = sum(map(_characters, self._before))

    def outputs(self) -> list[Output]:
        """All that stands there."""
        outputs = [*self._before, *self._since.outputs()]
        return [_joined(each) for each in outputs]


def _characters(content: dict[str, Any]) -> int:
    """About how long an output is."""
    if "text" in content:
        return len(content["text"])
    return 100 + sum(len(str(part)) for part in (content.get("data") or {}).values())


def _joined(output: Output) -> Output:
    """In a widget the metadata of a display must be there."""
    if output.get("output_type") in ("display_data", "execute_result"):
        return {**output, "metadata": output.get("metadata") or {}}
    return output
