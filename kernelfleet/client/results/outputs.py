"""Folds what one request has published on one engine into its outputs, as a notebook shows them.

The outputs arrive packed (``wire/outputs.py``): ``fold`` unpacks them in the thread that wants to
see them. What a notebook keeps is what ``outputs()`` gives: neighbouring streams of one name are
one output, ``clear_output`` clears, an updated display changes where it stands. What the program
printed is complete in ``text("stdout")`` all the same, also after ``clear_output``.

The text of each stream is kept once: an output of it is a range of that text. Pieces are joined
when somebody looks, so 100,000 small messages cost 100,000 appends.

Pure: no sockets, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelfleet.wire.outputs import BadPages, content_of, read_pages

#: One Jupyter output: a dict as in a notebook file.
Output = dict[str, Any]


@dataclass
class _Stream:
    """An output that is a range of a stream's text, in characters."""

    name: str
    start: int
    stop: int


class _Text:
    """Text that grows by pieces and is joined when it is read."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.length = 0

    def append(self, piece: str) -> None:
        self._pieces.append(piece)
        self.length += len(piece)

    def read(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""


def readable(pages: Sequence[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The type and the content of each output that pages hold; what cannot be read is left out."""
    try:
        for published in read_pages(pages):
            content = content_of(published)
            if content is not None:
                yield published.msg_type, content
    except BadPages:
        pass  # of a controller that has gone mad: what came before it is good


def fold(pages: Sequence[Any]) -> OutputAggregator:
    """The outputs that pages hold."""
    folder = OutputAggregator()
    for msg_type, content in readable(pages):
        folder.add(msg_type, content)
    return folder


class OutputAggregator:
    """The outputs of one request, so far."""

    def __init__(self) -> None:
        self._outputs: list[_Stream | Output] = []
        self._texts: dict[str, _Text] = {}
        self._displays: dict[str, list[Output]] = {}
        self._clear_before_next = False

    def add(self, msg_type: str, content: Mapping[str, Any]) -> None:
        """Fold one message; types that are no output are ignored."""
        if msg_type == "stream":
            self._add_stream(str(content.get("name", "stdout")), str(content.get("text", "")))
        elif msg_type == "clear_output":
            if content.get("wait"):
                self._clear_before_next = True
            else:
                self._clear()
        elif msg_type == "error":
            self._add_output(
                {
                    "output_type": "error",
                    "ename": str(content.get("ename", "")),
                    "evalue": str(content.get("evalue", "")),
                    "traceback": [str(line) for line in content.get("traceback") or ()],
                }
            )
        elif msg_type in {"display_data", "execute_result", "update_display_data"}:
            self._add_display(msg_type, content)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was printed or displayed, cleared or not."""
        return not self._texts and not self._outputs

    @property
    def stdout(self) -> str:
        """All that was printed, cleared or not."""
        return self.text("stdout")

    @property
    def stderr(self) -> str:
        """All that was printed to stderr, cleared or not."""
        return self.text("stderr")

    def text(self, name: str) -> str:
        """All text of one stream, cleared or not."""
        return self._texts[name].read() if name in self._texts else ""

    def outputs(self) -> list[Output]:
        """The outputs as dicts of a notebook file, the caller's to keep."""
        return [
            {
                "output_type": "stream",
                "name": each.name,
                "text": self.text(each.name)[each.start : each.stop],
            }
            if isinstance(each, _Stream)
            else dict(each)
            for each in self._outputs
        ]

    def _add_stream(self, name: str, piece: str) -> None:
        self._clear_if_due()  # as in JupyterLab, also for a message without text
        if not piece:
            return
        text = self._texts.setdefault(name, _Text())
        start = text.length
        text.append(piece)
        last = self._outputs[-1] if self._outputs else None
        if isinstance(last, _Stream) and last.name == name:
            last.stop = text.length
        else:
            self._outputs.append(_Stream(name, start, text.length))

    def _add_display(self, msg_type: str, content: Mapping[str, Any]) -> None:
        data, metadata = dict(content.get("data") or {}), dict(content.get("metadata") or {})
        display_id = (content.get("transient") or {}).get("display_id")
        if msg_type != "update_display_data":
            self._clear_if_due()
        shown = [] if display_id is None else self._displays.setdefault(str(display_id), [])
        for output in shown:
            output["data"], output["metadata"] = dict(data), dict(metadata)
        if msg_type == "update_display_data":
            return
        output = {"output_type": msg_type, "data": data, "metadata": metadata}
        if msg_type == "execute_result":
            output["execution_count"] = content.get("execution_count")
        self._add_output(output)
        shown.append(output)

    def _add_output(self, output: Output) -> None:
        self._clear_if_due()
        self._outputs.append(output)

    def _clear_if_due(self) -> None:
        if self._clear_before_next:
            self._clear()

    def _clear(self) -> None:
        """Drop what is shown; the streams' texts stay."""
        self._outputs = []
        self._displays = {}
        self._clear_before_next = False
