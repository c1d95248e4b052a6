"""Long results in a notebook: only the beginning and the end of their text are saved.

``repr(result)`` is not shortened.
"""

from __future__ import annotations

from typing import Any

from kernelfleet.client.frontend import is_notebook
from kernelfleet.display import layout

#: A notebook saves at most so many lines of the text of a result.
MAX_TEXT_LINES = 1000


def install(shell: Any) -> None:
    """Have a notebook save only the beginning and the end of long results."""
    if is_notebook(shell):
        from kernelfleet.results import ResultList

        plain = shell.display_formatter.formatters["text/plain"]
        plain.for_type(ResultList, lambda found, printer, _: printer.text(bounded(repr(found))))


def bounded(text: str) -> str:
    """A text, or its beginning and end if it is too long to be saved in a notebook."""
    lines = text.split("\n")
    if len(lines) <= MAX_TEXT_LINES and len(text) <= layout.MAX_CHARACTERS:
        return text
    return "\n".join(layout.bounded(lines, MAX_TEXT_LINES))
