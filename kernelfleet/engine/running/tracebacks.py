"""Rendering errors as IPython does, showing only the frames of the user's code."""

from __future__ import annotations

import functools
import linecache
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from kernelfleet.engine.running.hints import add_hint
from kernelfleet.errors.text import SHOWN_CHARACTERS, shortened, text_of

#: How many causes of an error have their texts shortened; further ones are shown as they are.
MAX_CAUSES = 50
#: The number of entries at which a cache of the renderer is emptied.
KEPT_SOURCES = 50
_CACHES = ("__executing_cache", "__source_cache_with_lines")

#: The folder of this package, with the separator. Two rooms up; no ``Path``, which cannot be made
#: while a test pretends to be on another platform.
_OWN_FOLDER = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")) + os.sep


def users_frames(tb: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames of this package at its top."""
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
        tb = tb.tb_next
    return tb


def render(shell: Any, error: BaseException) -> list[str]:
    """Render an error for a reply."""
    error.__traceback__ = users_frames(error.__traceback__)
    add_hint(error, getattr(shell, "user_ns", {}))
    try:
        if isinstance(error, BaseExceptionGroup):
            # IPython 9.18 prints a group's traceback in place of returning its lines:
            # https://github.com/ipython/ipython/pull/14108
            return render_plainly(error)
        lines = shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__)
        return [str(line) for line in lines]
    except Exception:  # noqa: BLE001 - the user's classes take part in rendering
        return render_plainly(error)
    finally:
        forget_sources()


def show_causes_where_they_were_raised(shell: Any) -> None:
    """Let IPython show each exception of a chain at the line where it was raised.

    This serves everybody who reads the traceback of an error with a cause. IPython 9.18 renders
    the frames of a kernel's cells on a fast path, since it finds no file to count the lines of
    (https://github.com/ipython/ipython/pull/14010). The fast path shows the line that a frame
    executes now. For a cause, that is the line of the exception that it caused. The usual path
    takes twice the time, so it is used for chains only: the frames of a single exception still are
    at the line where it was raised. This can go when the fast path uses ``tb_lineno``.
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
        colour_with_one_lexer()
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
    """Return the error, or if its text or a cause's is too long, a copy with shortened texts.

    IPython 9.18 scans the text of an error and of its causes many times, in C code that cannot be
    interrupted: 19 s for 500 MB.
    """
    name = "__cause__" if error.__cause__ is not None else "__context__"
    cause = getattr(error, name)  # the one that a traceback shows
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


@functools.cache
def colour_with_one_lexer() -> None:
    """Let stack_data colour all code with one class of lexers, and one class of styles.

    stack_data 0.6 makes a class of its own for each frame, and pygments 2.21 compiles the words of
    the language anew for each class. That takes three quarters of the time in which an error with
    frames of a library is rendered. No issue is known upstream; it can go when the class is kept.
    """
    import pygments
    import stack_data
    from pygments.lexers.python import PythonLexer
    from stack_data import core

    class Marking(PythonLexer):  # type: ignore[misc]  # it has no types
        """Marks what was executing."""

        ranges: Sequence[tuple[int, int]] = ()

        def get_tokens(self, text: str, unfiltered: bool = False) -> Iterator[tuple[Any, str]]:
            at = 0
            for kind, value in super().get_tokens(text, unfiltered):
                executing = any(start <= at < end for start, end in self.ranges)
                at += len(value)
                yield (kind.ExecutingNode if executing else kind), value

    def coloured(formatter: Any, code: str, ranges: Sequence[tuple[int, int]]) -> list[str]:
        lexer = Marking(stripnl=False)
        lexer.ranges = ranges
        try:
            return str(pygments.highlight(code, lexer, formatter)).splitlines()
        except Exception:  # noqa: BLE001 - without colours, as stack_data does it
            return code.splitlines()

    if hasattr(core, "_pygmented_with_ranges"):
        vars(core)["_pygmented_with_ranges"] = coloured
        style = functools.lru_cache(maxsize=8)(core.style_with_executing_node)
        vars(stack_data)["style_with_executing_node"] = style


def forget_sources() -> None:
    """Empty the caches of executing 2.3, which stack_data uses, when they have grown large.

    They hold code objects and syntax trees for ever. A function has another code object each time
    it arrives, so every error in one would add an entry. This serves users whose maps raise many
    errors in a session of weeks. No issue is known upstream; it can go when executing bounds them.
    """
    source = getattr(sys.modules.get("stack_data"), "Source", None)
    for name in _CACHES:
        cache = vars(source).get(name) if source is not None else None
        if isinstance(cache, dict) and len(cache) > KEPT_SOURCES:
            cache.clear()


def render_plainly(error: BaseException) -> list[str]:
    """Render an error as Python itself does."""
    try:
        return "".join(traceback.format_exception(error)).splitlines()
    except Exception:  # noqa: BLE001 - the user's classes take part
        return [f"{type(error).__name__}: <cannot be shown>"]
