"""Rendering errors as IPython does, with the user's frames only."""

from __future__ import annotations

import linecache
import os
import sys
import traceback
from types import TracebackType
from typing import Any

from kernelfleet.engine.running.hints import add_hint
from kernelfleet.errors.text import SHOWN_CHARACTERS, shortened, text_of

#: Further causes of an error are shown as they are.
MAX_CAUSES = 50
#: What the renderer may keep of sources and codes it has shown.
KEPT_SOURCES = 50
_CACHES = ("__executing_cache", "__source_cache_with_lines")

#: The folder of this package, with the separator. Two rooms up; no ``Path``, which cannot be made
#: while a test pretends to be on another platform.
_OWN_FOLDER = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")) + os.sep


def users_frames(tb: TracebackType | None) -> TracebackType | None:
    """Drop the frames of this package from the top of a traceback."""
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
        tb = tb.tb_next
    return tb


def render(shell: Any, error: BaseException) -> list[str]:
    """Render an error for a reply."""
    error.__traceback__ = users_frames(error.__traceback__)
    add_hint(error, getattr(shell, "user_ns", {}))
    try:
        if isinstance(error, BaseExceptionGroup):
            return render_plainly(error)  # IPython 9.18 cannot render groups
        lines = shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__)
        return [str(line) for line in lines]
    except Exception:  # noqa: BLE001 - the user's classes take part in rendering
        return render_plainly(error)
    finally:
        forget_sources()


def show_causes_where_they_were_raised(shell: Any) -> None:
    """Give each exception of a chain the line at which it passed a frame.

    IPython (9.18) renders frames of a kernel's cells by a short cut, which shows the line where
    the frame is now: for a cause that is the line of what it caused. The long way takes twice the
    time, so a single exception goes without it: its frames are where it passed them.
    """
    from IPython.core import ultratb

    usual_count = getattr(ultratb, "get_line_number_of_frame", None)
    usual = shell.InteractiveTB.structured_traceback
    if usual_count is None:
        return

    def count(frame: Any) -> Any:
        entry = linecache.cache.get(frame.f_code.co_filename, ())
        return len(entry[2]) if len(entry) > 2 else usual_count(frame)

    def structured_traceback(etype: Any, evalue: Any = None, *args: Any, **options: Any) -> Any:
        chained = getattr(evalue, "__cause__", None) or getattr(evalue, "__context__", None)
        vars(ultratb)["get_line_number_of_frame"] = count if chained else usual_count
        if isinstance(evalue, BaseException):
            etype, evalue = _shortened(etype, evalue)
        try:
            return usual(etype, evalue, *args, **options)
        finally:
            vars(ultratb)["get_line_number_of_frame"] = usual_count

    shell.InteractiveTB.structured_traceback = structured_traceback


def _shortened(etype: Any, error: BaseException) -> tuple[Any, BaseException]:
    try:
        shown = with_short_texts(error)
    except Exception:  # noqa: BLE001 - the user's class takes part
        return etype, error
    return (etype, error) if shown is error else (type(shown), shown)


def with_short_texts(error: BaseException, seen: frozenset[int] = frozenset()) -> BaseException:
    """The error, or one that looks like it but for the length of its text.

    IPython (9.18) goes through the text of an error many times, and of its causes, in ways that no
    interrupt reaches: 19 s for 500 MB.
    """
    name = "__cause__" if error.__cause__ is not None else "__context__"
    cause = getattr(error, name)  # the one that is shown
    is_ring = id(cause) in seen
    if cause is not None and not is_ring and len(seen) < MAX_CAUSES:
        cause = with_short_texts(cause, seen | {id(error)})
    text = text_of(error)
    if cause is getattr(error, name) and len(text) <= SHOWN_CHARACTERS:
        return error
    kind, short = type(error), shortened(text)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    look_alike = type(kind.__name__, (Exception,), {**names, "__str__": lambda _: short})
    shown: BaseException = look_alike()
    setattr(shown, name, None if is_ring else cause)
    shown.__suppress_context__ = error.__suppress_context__
    shown.__traceback__ = error.__traceback__
    if notes := getattr(error, "__notes__", None):
        vars(shown)["__notes__"] = notes
    return shown


def forget_sources() -> None:
    """Bound what executing (2.3, under stack_data) keeps for ever: codes and syntax trees.

    A function that travels is a new code each time, so every error of one would cost an entry.
    """
    source = getattr(sys.modules.get("stack_data"), "Source", None)
    for name in _CACHES:
        cache = vars(source).get(name) if source is not None else None
        if isinstance(cache, dict) and len(cache) > KEPT_SOURCES:
            cache.clear()


def render_plainly(error: BaseException) -> list[str]:
    """Render as Python does what IPython prints instead of keeping: exception groups."""
    try:
        return "".join(traceback.format_exception(error)).splitlines()
    except Exception:  # noqa: BLE001 - likewise
        return [f"{type(error).__name__}: <cannot be shown>"]
