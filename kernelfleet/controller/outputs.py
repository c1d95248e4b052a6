"""Folds the iopub messages of one request into its outputs, as a notebook would show them.

Pure: no sockets, no clock. One ``OutputFolder`` per request; the caller sorts messages by request
and engine. What a notebook keeps is what ``outputs()`` gives: neighbouring streams of one name are
one output, ``clear_output`` clears, an updated display changes where it stands. What the program
printed is complete in ``text("stdout")`` all the same, also after ``clear_output``.

The text of each stream is kept once: an output of it is a range of that text. Pieces are joined
when somebody looks, so 100,000 small messages cost 100,000 appends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: One Jupyter output: a dict as in a notebook file.
Output = dict[str, Any]


@dataclass(frozen=True)
class DisplayUpdate:
    """New contents for every output that an engine has shown under this display id."""

    display_id: str
    data: dict[str, Any]
    metadata: dict[str, Any]


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


class OutputFolder:
    """The outputs of one request, so far.

    Attributes:
        size_bytes: About how much memory the contents take.
    """

    def __init__(self) -> None:
        self.size_bytes = 0
        self._outputs: list[_Stream | Output] = []
        self._texts: dict[str, _Text] = {}
        self._displays: dict[str, list[Output]] = {}
        self._clear_before_next = False

    def add(self, msg_type: str, content: Mapping[str, Any]) -> DisplayUpdate | None:
        """Fold one message; types that are no output are ignored.

        Returns:
            For a message with a display id the update it makes: display ids belong to the engine,
            so what its earlier requests have shown under that id follows (``update``).
        """
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
            return self._add_display(msg_type, content)
        return None

    def update(self, update: DisplayUpdate) -> bool:
        """Apply an update made by another request of this engine; whether anything changed."""
        shown = self._displays.get(update.display_id, [])
        for output in shown:
            before = _size_bytes(output)
            output["data"], output["metadata"] = dict(update.data), dict(update.metadata)
            self.size_bytes += _size_bytes(output) - before
        return bool(shown)

    @property
    def display_ids(self) -> frozenset[str]:
        """The display ids that ``update`` would find here."""
        return frozenset(self._displays)

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
        if not piece:
            return
        self._clear_if_due()
        text = self._texts.setdefault(name, _Text())
        start = text.length
        text.append(piece)
        self.size_bytes += _size_bytes(piece)
        last = self._outputs[-1] if self._outputs else None
        if isinstance(last, _Stream) and last.name == name:
            last.stop = text.length
        else:
            self._outputs.append(_Stream(name, start, text.length))

    def _add_display(self, msg_type: str, content: Mapping[str, Any]) -> DisplayUpdate | None:
        data, metadata = dict(content.get("data") or {}), dict(content.get("metadata") or {})
        display_id = (content.get("transient") or {}).get("display_id")
        update = None if display_id is None else DisplayUpdate(str(display_id), data, metadata)
        if msg_type != "update_display_data":
            self._clear_if_due()
        if update is not None:
            self.update(update)
        if msg_type == "update_display_data":
            return update
        output: Output = {"output_type": msg_type, "data": data, "metadata": metadata}
        if msg_type == "execute_result":
            output["execution_count"] = content.get("execution_count")
        self._add_output(output)
        if update is not None:
            self._displays.setdefault(update.display_id, []).append(output)
        return update

    def _add_output(self, output: Output) -> None:
        self._clear_if_due()
        self._outputs.append(output)
        self.size_bytes += _size_bytes(output)

    def _clear_if_due(self) -> None:
        if self._clear_before_next:
            self._clear()

    def _clear(self) -> None:
        """Drop what is shown; the streams' texts stay."""
        self.size_bytes -= sum(_size_bytes(o) for o in self._outputs if not isinstance(o, _Stream))
        self._outputs = []
        self._displays = {}
        self._clear_before_next = False


def _size_bytes(value: object) -> int:
    """About how many bytes a piece of JSON takes."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
    if isinstance(value, Mapping):
        return sum(_size_bytes(key) + _size_bytes(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_size_bytes, value))
    return 8
