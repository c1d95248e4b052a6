"""CompositeError: the errors of one call on many engines, as one ExceptionGroup.

``restore_error`` makes its members from error replies, and ``CompositeError.collect`` makes the
group. How it is shown in a shell, in a notebook and in the traceback of a script is decided here.
Nothing here talks to an engine. Import CompositeError from ``kernelfleet.errors``.
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

#: Below a displayed traceback, so many failed engines have a line each. If there are more, those
#: that failed alike share a line. ``str(error)`` always has a line for each.
LISTED_ONE_BY_ONE = 8


@dataclass(frozen=True)
class Failure:
    """What failed on one engine.

    Attributes:
        engine_id: The engine; None if the error belongs to no engine.
        exception: The exception that was raised there, or a RemoteError in its place.
        traceback: The engine's traceback as lines of text, coloured as IPython makes it; empty if
            there is none.
        method: The method that failed; if it is empty, that of the whole call.
    """

    engine_id: int | None
    exception: Exception
    traceback: Sequence[str] = ()
    method: str = ""

    @property
    def kind(self) -> str:
        """The method; 'Engine Exception' for an error that is not from the user's code."""
        # The user's code may itself use a fleet and raise EngineDied; then there is a traceback.
        own = isinstance(self.exception, EngineError) and not self.traceback
        return "Engine Exception" if own or not self.method else self.method

    @property
    def tag(self) -> str:
        """The engine and the method: ``[0:execute]``."""
        return f"[{self.kind}]" if self.engine_id is None else f"[{self.engine_id}:{self.kind}]"

    @property
    def line(self) -> str:
        """The failure in one line: ``[0:execute]: ZeroDivisionError: division by zero``."""
        return f"{self.tag}: {error_text(self.exception)}"

    @property
    def coloured_traceback(self) -> str:
        """The engine's traceback as one text; the text of the error if there is no traceback."""
        return "\n".join(self.traceback) or error_text(self.exception)

    @property
    def plain_traceback(self) -> str:
        """``coloured_traceback`` without colour codes."""
        return without_colours(self.coloured_traceback)

    def note_traceback(self, tag: str) -> None:
        """Add the engine's traceback to the exception as a note, so that Python prints it."""
        if self.traceback:
            add_note_once(self.exception, f"{tag}:", self.plain_traceback)


class CompositeError(ExceptionGroup[Exception]):
    """A call has failed on one or more engines; the members are the original exceptions.

    ``except* ZeroDivisionError`` catches those of one kind, as of any ExceptionGroup.

    Attributes:
        message: The first line of its text.
        exceptions: The original exceptions, in the order of the targets.
        failures: For each exception the engine, the traceback and the method, in the same order.
        results: The values of the engines that did not fail, by engine id; for ``map``, the values
            of the items that did not fail, by their index.

    Example:
        >>> failures = [Failure(i, ZeroDivisionError("division by zero")) for i in (0, 1)]
        >>> error = CompositeError.collect("execute", failures, results={2: "fine"})
        >>> print(error)
        one or more exceptions from call to method: execute
        [0:execute]: ZeroDivisionError: division by zero
        [1:execute]: ZeroDivisionError: division by zero
        >>> error.results
        {2: 'fine'}
    """

    # Tracebacks and pickles name the class by its public address.
    __module__ = "kernelfleet.errors"

    failures: tuple[Failure, ...]
    results: dict[int, Any]

    def __new__(
        cls,
        message: str,
        failures: Sequence[Failure | Exception],
        results: Mapping[int, Any] | None = None,
    ) -> Self:
        """Build the group; an exception that is no Failure is taken for one of no engine."""
        members = tuple(
            each if isinstance(each, Failure) else Failure(None, each) for each in failures
        )
        self = super().__new__(cls, message, [each.exception for each in members])
        self.failures = members
        self.results = dict(results or {})
        for failure in members:
            _attach(failure.exception, failure.traceback, failure.engine_id)
        # Python prints a group as a tree of all its members. Of the members that are alike the
        # first has the engine's traceback as a note, so that the traceback is printed once.
        for alike in _distinct(members):
            alike[0].note_traceback(_group_tag(alike))
        return self

    def __init__(self, message: str, *_: object) -> None:
        # Exception.__init__ would set `args` to the arguments of the constructor. Pickling does
        # not use `args` (see __reduce__), but other code expects those of an ExceptionGroup.
        super().__init__(message, list(self.exceptions))

    @classmethod
    def collect(
        cls,
        method: str,
        failures: Iterable[Failure],
        results: Mapping[int, Any] | None = None,
    ) -> Self:
        """The error of a call of one method.

        Args:
            method: The name of the method, for the first line and the tags.
            failures: What failed, in the order of the targets; at least one.
            results: The values of what did not fail.

        Returns:
            The error, to be raised.
        """
        message = f"one or more exceptions from call to method: {method}"
        tagged = [replace(each, method=each.method or method) for each in failures]
        return cls(message, tagged, results)

    def grouped_lines(self) -> list[str]:
        """A line for each distinct failure: ``[0-15:execute]: ZeroDivisionError: ...``.

        Failures are the same if they have the same method, text and traceback.
        """
        return [
            f"{_group_tag(alike)}: {error_text(alike[0].exception)}"
            for alike in _distinct(self.failures)
        ]

    def __str__(self) -> str:
        return "\n".join([self.message, *(failure.line for failure in self.failures)])

    @property
    def elist(self) -> list[tuple[type[Exception], Exception, str]]:
        """``(type, value, traceback)`` of each member, in the order of the targets.

        The traceback is that of the engine, as text without colour codes.
        """
        return [(type(f.exception), f.exception, f.plain_traceback) for f in self.failures]

    def raise_exception(self, excid: int = 0) -> None:
        """Raise one of the original exceptions.

        Args:
            excid: Its index in ``exceptions``, counted from 0.

        Raises:
            IndexError: There is no exception with this index.
        """
        failure = self._failure(excid)
        error = failure.exception.with_traceback(None)
        failure.note_traceback(failure.tag)
        try:
            raise error
        finally:
            # In an ``except CompositeError`` block Python sets the group as the context of what is
            # raised, and IPython 9 shows an error that has a group there without colours and
            # source (it uses the traceback module). So the context is removed.
            BaseException.__setattr__(error, "__context__", None)

    def print_tracebacks(self, excid: int | None = None) -> None:
        """Print the tracebacks of the engines, in colour if stdout shows colours.

        Args:
            excid: The index of one exception, whose traceback alone is printed; None prints all.

        Raises:
            IndexError: There is no exception with this index.
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
        """The same error with these members only; ``except*`` and ``split`` call this."""
        owners: dict[int, Failure] = {}
        for failure in self.failures:
            for error in with_leaves(failure.exception):
                owners.setdefault(id(error), failure)

        def owned(error: Exception) -> Failure:
            # If an engine has raised a group itself, split() may have kept a part of it, which is
            # a new exception. Its leaves tell which failure it belongs to.
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
        """The lines that IPython displays: each distinct traceback once, then the error's text."""
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
    """The exception that an error reply describes, or a RemoteError in its place.

    Args:
        info: The reply: ``ename``, ``evalue``, ``traceback`` and, if it is known, ``engine_id``.
        exception: The exception that was unpickled from the reply's buffers; None if they are
            empty or could not be unpickled.

    Returns:
        The exception, which has ``remote_traceback`` and ``engine_id`` as attributes.
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
    """Set ``remote_traceback`` and ``engine_id``, unless the class has attributes of that name."""
    for name, value in (("remote_traceback", list(traceback)), ("engine_id", engine_id)):
        with contextlib.suppress(Exception):  # the class may forbid it
            if value not in ([], None) and not hasattr(error, name):
                setattr(error, name, value)


def _distinct(failures: Sequence[Failure]) -> list[list[Failure]]:
    """Group the failures that are alike, apart from cell numbers and process ids."""
    groups: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in failures:
        frames = without_engine_marks(failure.plain_traceback)
        key = (failure.kind, error_text(failure.exception), frames)
        groups.setdefault(key, []).append(failure)
    return list(groups.values())


def _group_tag(failures: Sequence[Failure]) -> str:
    """The engines and the method of failures that are alike: ``[0-3:execute]``."""
    ids = format_ids(each.engine_id for each in failures if each.engine_id is not None)
    return f"[{ids}:{failures[0].kind}]" if ids else failures[0].tag
