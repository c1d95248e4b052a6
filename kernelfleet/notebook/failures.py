"""How IPython shows the errors of calls: one traceback for each distinct failure.

IPython 9 prints an exception group with the ``traceback`` module, without colours and source, and a
notebook gets no ``error`` output for it. So kernelfleet shows CompositeErrors itself, wherever the
shell is asked to show one. It also shows which engines Ctrl-C has interrupted. Of kernelfleet's
other errors (no such engine, a timeout) only the user's own frames are shown. All errors of other
kinds are left to IPython.
"""

from __future__ import annotations

import os
import re
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any, TypeGuard

from kernelfleet.errors.composite import CompositeError
from kernelfleet.errors.text import format_ids, text_of, without_colours
from kernelfleet.errors.tree import CallTimeout, FleetError, error_text

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

_MISSING_NAME = re.compile(r"name '(\w+)' is not defined")

_installed: weakref.WeakSet[Any] = weakref.WeakSet()

Traceback = types.TracebackType | None


def install(shell: Any) -> None:
    """Have a shell show the errors of calls with ``show``.

    Handlers that others have set stay in force. To install it again does nothing.
    """
    if shell in _installed:
        return
    _installed.add(shell)
    before, others = shell.custom_exceptions, shell.CustomTB

    def handler(
        shell: Any, etype: type[BaseException], value: BaseException, tb: Traceback,
        tb_offset: int | None = None,
    ) -> Any:  # fmt: skip
        if isinstance(value, before):
            return others(etype, value, tb, tb_offset)
        shell.showtraceback((etype, value, tb), running_compiled_code=True)
        return None

    shell.set_custom_exc((*before, CompositeError, KeyboardInterrupt), handler)
    shell.showtraceback = _show_ours_or(shell, shell.showtraceback)


def _show_ours_or(shell: Any, show_others: Callable[..., Any]) -> Callable[..., Any]:
    """A ``showtraceback`` for a shell, which shows kernelfleet's errors with ``show``.

    Magics that run code (``%time``, ``%run``, ``%tb``) call this method and not the handler.

    Args:
        shell: The shell.
        show_others: The shell's own method, which shows all other errors.
    """

    def showtraceback(exc_tuple: Any = None, *args: Any, **options: Any) -> None:
        error = exc_tuple[1] if exc_tuple else sys.exc_info()[1] or getattr(sys, "last_value", None)
        if isinstance(error, CompositeError) or _is_of_a_call(error) or _says_it_all(error):
            show(shell, error)
        elif isinstance(error, Exception) and _was_raised_while_handling(error):
            # IPython 9 would print all of it without colours and source, because there is an
            # exception group in its context.
            shell._get_exc_info((type(error), error, error.__traceback__))
            tb = shell.InteractiveTB
            lines = tb.structured_traceback(type(error), error, error.__traceback__, tb_offset=1)
            shell._showtraceback(type(error), error, lines)
        else:
            show_others(exc_tuple, *args, **options)

    return showtraceback


def _is_of_a_call(error: object) -> TypeGuard[KeyboardInterrupt]:
    """Whether an error is the KeyboardInterrupt of a blocking call."""
    return isinstance(error, KeyboardInterrupt) and hasattr(error, "pending_result")


def _says_it_all(error: object) -> TypeGuard[FleetError]:
    """Whether an error is one of kernelfleet's, and no other error has caused it."""
    return isinstance(error, FleetError) and (
        error.__cause__ is None and (error.__suppress_context__ or error.__context__ is None)
    )


def _was_raised_while_handling(error: BaseException | None) -> bool:
    """Whether an error has a CompositeError, and no other exception group, in its context."""
    found = False
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            if not isinstance(error, CompositeError):
                return False
            found = True
        error = error.__context__
    return found


def show(shell: Any, error: BaseException, tb: Traceback = None) -> None:
    """Show an error, and store it where ``%debug`` and ``%tb`` look for it."""
    tb = tb or error.__traceback__
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, tb
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    shell.InteractiveTB.tb = tb
    if isinstance(error, CompositeError):
        lines = [*error._render_traceback_(), *hints(error, shell.user_ns)]
    else:
        text = error_text(error) if isinstance(error, FleetError) else type(error).__name__
        lines = ["\n".join([text, *getattr(error, "__notes__", ()), *_where_it_goes_on(error)])]
    lines = [*_frames(shell, error, tb), *lines]
    if str(shell.colors).lower() == "nocolor":
        lines = [without_colours(line) for line in lines]
    shell._showtraceback(type(error), error, lines)


def _where_it_goes_on(error: BaseException) -> list[str]:
    """How to get at the call that goes on after a timeout: no variable holds its error."""
    if isinstance(error, CallTimeout) and error.pending_result is not None:
        return ["sys.last_value.pending_result is the call that goes on"]
    return []


def _frames(shell: Any, error: BaseException, tb: Traceback) -> list[str]:
    """The lines of the user's own frames, as IPython shows them; none if a magic made the call."""
    own = users_frames(tb)
    if own is None or shell.InteractiveTB.mode == "Minimal":
        return []
    stand_in = type(type(error).__name__, (Exception,), {})
    try:
        lines = shell.InteractiveTB.structured_traceback(stand_in, stand_in(), own, tb_offset=0)
    except Exception:  # noqa: BLE001 (IPython's renderer reads the user's files)
        return []
    return [str(line) for line in lines[:-1]]


def users_frames(tb: Traceback) -> Traceback:
    """The frames of a traceback that are the user's own; None if a magic made the call."""
    import IPython

    ipython = os.path.dirname(os.path.abspath(IPython.__file__)) + os.sep
    kept: list[types.TracebackType] = []
    while tb is not None:
        name = tb.tb_frame.f_code.co_filename
        if name.startswith(_PACKAGE):
            break
        if name.startswith(ipython):
            if tb.tb_frame.f_code.co_name in ("run_line_magic", "run_cell_magic"):
                return None
        else:
            kept.append(tb)
        tb = tb.tb_next
    chain: Traceback = None
    for each in reversed(kept):
        chain = types.TracebackType(chain, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return chain


def hints(error: CompositeError, here: dict[str, Any]) -> list[str]:
    """Hints for names that engines do not have, but that exist here.

    Args:
        error: The error.
        here: The variables of the shell.
    """
    missing: dict[str, list[int]] = {}
    for failure in error.failures:
        # NameError.name would be better, but it does not survive pickling.
        found = _MISSING_NAME.search(text_of(failure.exception))
        if isinstance(failure.exception, NameError) and found is not None and found[1] in here:
            missing.setdefault(found[1], []).append(failure.engine_id or 0)
    return [
        f"Hint: `{name}` exists here but not on engines {format_ids(ids)}: "
        f"mec.push(dict({name}={name})), or %%px --push {name}"
        for name, ids in missing.items()
    ]


def summary(error: CompositeError) -> str:
    """An error in one line: ``2 engines failed: [0-1:execute]: ZeroDivisionError: ...``."""
    count = len({failure.engine_id for failure in error.failures})
    first, *others = error.grouped_lines()
    more = f", and {len(others)} other error{'s' if len(others) > 1 else ''}" if others else ""
    return f"{'1 engine' if count == 1 else f'{count} engines'} failed: {first}{more}"
