"""CompositeError: the errors of one call on many engines, as one ExceptionGroup.

``restore_error`` makes its members from error replies, ``CompositeError.collect`` the group. How
it reads in a shell, in a notebook and in a script's traceback is decided here; nothing here
talks to an engine. ``kernelfleet.errors`` names it: import it from there.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from kernelfleet.errors.text import (
    add_note_once,
    format_ids,
    shows_colours,
    with_leaves,
    without_colours,
    without_engine_marks,
)
from kernelfleet.errors.tree import EngineError, RemoteError, error_text
from kernelfleet.wire.objects.exceptions import (
    FrozenError,
    freeze_error,
    thaw_error,
)

#: How many failing engines are listed one by one below a displayed traceback; of more, those that
#: failed alike are one line. ``str`` always has a line for each.
LISTED_ONE_BY_ONE = 8


@dataclass(frozen=True)
class Failure:
    """One engine's part in a CompositeError.

    Attributes:
        engine_id: The engine; None where the error belongs to none.
        exception: What was raised there, restored here.
        traceback: The engine's own traceback, coloured as IPython makes it; empty if none.
        method: The verb that failed; empty takes that of the call.
    """

    engine_id: int | None
    exception: Exception
    traceback: Sequence[str] = ()
    method: str = ""

    @property
    def kind(self) -> str:
        """The verb, or 'Engine Exception' for what did not come from user code on an engine."""
        # A fleet within a fleet: user code on an engine may raise EngineDied, with a traceback.
        own = isinstance(self.exception, EngineError) and not self.traceback
        return "Engine Exception" if own or not self.method else self.method

    @property
    def tag(self) -> str:
        """``[0:execute]``."""
        return f"[{self.kind}]" if self.engine_id is None else f"[{self.engine_id}:{self.kind}]"

    @property
    def line(self) -> str:
        """``[0:execute]: ZeroDivisionError: division by zero``."""
        return f"{self.tag}: {error_text(self.exception)}"

    @property
    def coloured_traceback(self) -> str:
        """The engine's traceback, or the error's text where there is none."""
        return "\n".join(self.traceback) or error_text(self.exception)

    @property
    def plain_traceback(self) -> str:
        """The same without colour codes."""
        return without_colours(self.coloured_traceback)

    def note_traceback(self, tag: str) -> None:
        """Make the exception carry the engine's traceback wherever Python prints it."""
        if self.traceback:
            add_note_once(self.exception, f"{tag}:", self.plain_traceback)


class CompositeError(ExceptionGroup[Exception]):
    """One or more exceptions from a call on engines; members are the original exceptions.

    Attributes:
        message: The first line.
        failures: What failed, in target order, parallel to ``exceptions``.
        results: What succeeded: engine id -> value; for ``map``, item index -> value.
    """

    __module__ = "kernelfleet.errors"  # its public address, which tracebacks and pickles show

    failures: tuple[Failure, ...]
    results: dict[int, Any]

    def __new__(
        cls,
        message: str,
        failures: Sequence[Failure | Exception],
        results: Mapping[int, Any] | None = None,
    ) -> Self:
        """Build the group; a bare exception counts as a failure of no engine."""
        members = tuple(
            each if isinstance(each, Failure) else Failure(None, each) for each in failures
        )
        self = super().__new__(cls, message, [each.exception for each in members])
        self.failures = members
        self.results = dict(results or {})
        for failure in members:
            _attach(failure.exception, failure.traceback, failure.engine_id)
        # Python prints a group as a tree of all members: the first of those that are alike
        # carries the engine's traceback as a note, so that it is there, and there once.
        for alike in _distinct(members):
            alike[0].note_traceback(_group_tag(alike))
        return self

    def __init__(self, message: str, *_: object) -> None:
        # Exception.__init__ would set args to what the constructor got; pickling does not use
        # args (see __reduce__), but a reader of them expects those of an ExceptionGroup.
        super().__init__(message, list(self.exceptions))

    @classmethod
    def collect(
        cls,
        method: str,
        failures: Iterable[Failure],
        results: Mapping[int, Any] | None = None,
    ) -> Self:
        """The error of a call to ``method``.

        Args:
            method: The verb, as it stands in the first line and in the tags.
            failures: At least one, in target order.
            results: What succeeded.
        """
        message = f"one or more exceptions from call to method: {method}"
        tagged = [replace(each, method=each.method or method) for each in failures]
        return cls(message, tagged, results)

    def grouped_lines(self) -> list[str]:
        """A line for each distinct failure: ``[0-15:execute]: ZeroDivisionError: ...``."""
        return [
            f"{_group_tag(alike)}: {error_text(alike[0].exception)}"
            for alike in _distinct(self.failures)
        ]

    def __str__(self) -> str:
        return "\n".join([self.message, *(failure.line for failure in self.failures)])

    @property
    def elist(self) -> list[tuple[type[Exception], Exception, str]]:
        """``(type, value, traceback)`` of each; the traceback is the engine's, as plain text."""
        return [(type(f.exception), f.exception, f.plain_traceback) for f in self.failures]

    def raise_exception(self, excid: int = 0) -> None:
        """Raise one of the original exceptions.

        Raises:
            IndexError: There is no exception of this index.
        """
        failure = self._failure(excid)
        error = failure.exception.with_traceback(None)
        failure.note_traceback(failure.tag)
        try:
            raise error
        finally:
            # Raised in an ``except CompositeError`` block it would have the group as context,
            # and IPython 9 shows whatever has a group there with the plain traceback module.
            BaseException.__setattr__(error, "__context__", None)

    def print_tracebacks(self, excid: int | None = None) -> None:
        """Print the engines' tracebacks, or that of one of them.

        Raises:
            IndexError: There is no exception of this index.
        """
        chosen = self.failures if excid is None else [self._failure(excid)]
        coloured = shows_colours(sys.stdout)
        for failure in chosen:
            text = failure.coloured_traceback if coloured else failure.plain_traceback
            sys.stdout.write(f"{failure.tag}: \n{text}\n\n")

    def _failure(self, excid: int) -> Failure:
        try:
            return self.failures[excid]
        except IndexError:
            raise IndexError(
                f"an exception with index {excid} does not exist: "
                f"there are {len(self.failures)}, counted from 0"
            ) from None

    def derive(self, excs: Sequence[Exception], /) -> Self:  # type: ignore[override]
        """The same error with these members only; ``except*`` and ``split`` call it."""
        owners: dict[int, Failure] = {}
        for failure in self.failures:
            for error in with_leaves(failure.exception):
                owners.setdefault(id(error), failure)

        def owned(error: Exception) -> Failure:
            # An engine may itself raise a group, of which split() keeps a part: its leaves tell.
            for part in with_leaves(error):
                if id(part) in owners:
                    return replace(owners[id(part)], exception=error)
            return Failure(None, error)

        return type(self)(self.message, [owned(error) for error in excs], self.results)

    def __reduce__(self) -> tuple[Any, ...]:
        state = dict(self.__dict__)
        failures = [
            (f.engine_id, freeze_error(f.exception), list(f.traceback), f.method)
            for f in state.pop("failures")
        ]
        arguments = (type(self), self.message, failures, state.pop("results"))
        return _thaw_composite, arguments, state

    def _repr_html_(self) -> str:
        from kernelfleet.display import html

        return html.traceback(self._render_traceback_())

    def _render_traceback_(self) -> list[str]:
        """What IPython displays: each distinct traceback once, then the error as in a shell."""
        lines: list[str] = []
        groups = _distinct(self.failures)
        for alike in groups:
            if not alike[0].traceback:
                continue
            lines += [f"{_group_tag(alike)}: {error_text(alike[0].exception)}"]
            lines += [line for text in alike[0].traceback for line in text.split("\n")] + [""]
        listed = [failure.line for failure in self.failures]
        if len(listed) > LISTED_ONE_BY_ONE:
            listed = self.grouped_lines()
        return [*lines, f"{type(self).__name__}: {self.message}", *listed]


def restore_error(info: Mapping[str, Any], exception: BaseException | None) -> Exception:
    """The member exception of an error reply: the original, or a RemoteError in its place.

    Args:
        info: The reply: ``ename``, ``evalue``, ``traceback`` and, where known, ``engine_id``.
        exception: What its buffers unpickled to; None if they are empty or could not be.
    """
    traceback = [str(line) for line in info.get("traceback") or ()]
    engine_id = info.get("engine_id")
    if isinstance(exception, Exception):
        _attach(exception, traceback, engine_id)
        return exception
    ename = str(info.get("ename") or type(exception).__name__)
    return RemoteError(ename, str(info.get("evalue") or ""), traceback, engine_id)


def _thaw_composite(
    cls: type[CompositeError],
    message: str,
    failures: list[tuple[int | None, FrozenError, list[str], str]],
    results: dict[int, Any],
) -> CompositeError:
    restored = [Failure(who, thaw_error(error), tb, how) for who, error, tb, how in failures]
    return cls(message, restored, results)


def _attach(error: Exception, traceback: Sequence[str], engine_id: int | None) -> None:
    """Set ``remote_traceback`` and ``engine_id``, unless the user's class has its own."""
    for name, value in (("remote_traceback", list(traceback)), ("engine_id", engine_id)):
        with contextlib.suppress(Exception):  # the class may forbid it
            if value not in ([], None) and not hasattr(error, name):
                setattr(error, name, value)


def _distinct(failures: Sequence[Failure]) -> list[list[Failure]]:
    """Group failures that read alike but for what is an engine's own, in target order."""
    groups: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in failures:
        frames = without_engine_marks(failure.plain_traceback)
        key = (failure.kind, error_text(failure.exception), frames)
        groups.setdefault(key, []).append(failure)
    return list(groups.values())


def _group_tag(failures: Sequence[Failure]) -> str:
    """``[0-3:execute]``."""
    ids = format_ids(each.engine_id for each in failures if each.engine_id is not None)
    return f"[{ids}:{failures[0].kind}]" if ids else failures[0].tag
