"""Long results in a notebook: the text that is saved keeps head and tail; ``repr`` stays whole."""

from __future__ import annotations

from typing import Any

from kernelfleet.client.frontend import is_notebook
from kernelfleet.display import layout

#: Lines of the text of results that a notebook keeps.
MAX_TEXT_LINES = 1000


def install(shell: Any) -> None:
    """Have a notebook keep head and tail of the text of long results."""
    if is_notebook(shell):
        from kernelfleet.results import ResultList

        plain = shell.display_formatter.formatters["text/plain"]
        plain.for_type(ResultList, lambda found, printer, _: printer.text(bounded(repr(found))))


def bounded(text: str) -> str:
    """A text of so many lines and characters as a notebook should keep."""
    lines = text.split("\n")
    if len(lines) <= MAX_TEXT_LINES and len(text) <= layout.MAX_CHARACTERS:
        return text
    return "\n".join(layout.bounded(lines, MAX_TEXT_LINES))
