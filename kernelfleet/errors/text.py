"""The texts of errors: names, notes, engine ids, colour codes.

Pure functions on strings for ``errors/tree.py`` and all code that shows errors. Nothing here
knows a class of kernelfleet.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal as signals
from collections.abc import Iterable, Iterator
from typing import TextIO

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

# The parts of an IPython traceback that differ between engines that have run the same cell: the
# number of the cell, and the process id in the name under which ipykernel caches its source.
_OWN_TO_ENGINE = re.compile(r"In ?\[\d+\]|ipykernel_\d+|ipython-input-\d+")


def text_of(exception: BaseException) -> str:
    """``str(exception)``, or a text in its place: ``__str__`` is the user's code and may fail."""
    try:
        return str(exception)
    except Exception:  # noqa: BLE001 (an error is being reported already)
        return f"<{type(exception).__name__} whose __str__ fails>"


#: At most so many characters of the text of an error are shown; the exception has all of it.
SHOWN_CHARACTERS = 100_000


def shortened(text: str) -> str:
    """A text, or its beginning and how many characters were left out."""
    left_out = len(text) - SHOWN_CHARACTERS
    if left_out <= 0:
        return text
    return f"{text[:SHOWN_CHARACTERS]}... [{left_out:,} more characters]"


def named_text(exception: BaseException) -> str:
    """``ZeroDivisionError: division by zero``; the name of the class alone if there is no text."""
    text = text_of(exception)
    return f"{type(exception).__name__}: {text}" if text else type(exception).__name__


def without_colours(text: str) -> str:
    """A text without ANSI escape codes."""
    return _ANSI.sub("", text)


def without_engine_marks(traceback: str) -> str:
    """A traceback without the parts that are an engine's own, so that two can be compared."""
    return _OWN_TO_ENGINE.sub("", traceback)


def format_ids(ids: Iterable[int]) -> str:
    """Engine ids as text.

    Example:
        >>> format_ids([0, 1, 2, 3, 5])
        '0-3,5'
    """
    runs: list[list[int]] = []
    for each in sorted(set(ids)):
        if runs and each == runs[-1][-1] + 1:
            runs[-1][1:] = [each]
        else:
            runs.append([each])
    return ",".join("-".join(str(end) for end in run) for run in runs)


#: What mostly is behind a signal that ends a process.
_PROBABLY = {9: ", probably out of memory"}
if hasattr(signals, "SIGBUS"):
    _PROBABLY[signals.SIGBUS] = ", probably a file that it had mapped has become shorter"


def describe_death(exit_code: int | None, signal: int | None) -> str:
    """How a process ended, in words; both are None if nothing is known."""
    if signal is not None:
        try:
            name = f"signal {signal} ({signals.Signals(signal).name})"
        except ValueError:
            name = f"signal {signal}"
        return f"killed by {name}" + _PROBABLY.get(signal, "")
    if exit_code is not None:
        return f"its process ended with exit code {exit_code}"
    return "its process is gone"


def add_note_once(error: BaseException, headline: str, text: str) -> None:
    """Add a note to an exception, unless it has a note with this text."""
    if not any(str(note).endswith(text) for note in getattr(error, "__notes__", ())):
        with contextlib.suppress(Exception):  # the user's class may forbid it
            error.add_note(f"{headline}\n{text}")


def with_leaves(error: BaseException) -> Iterator[BaseException]:
    """An exception and, if it is a group, all exceptions in it, at whatever depth."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from with_leaves(each)


def shows_colours(stream: TextIO) -> bool:
    """Whether a stream shows colours: a terminal does, and so does the stream of a notebook.

    The environment variable ``NO_COLOR`` switches colours off.
    """
    if os.environ.get("NO_COLOR"):
        return False
    notebook = type(stream).__module__.partition(".")[0] == "ipykernel"
    return notebook or bool(getattr(stream, "isatty", bool)())
