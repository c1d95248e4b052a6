"""Running a cell as IPython's kernel does, without what a fleet does not need.

This follows ``IPythonKernel.do_execute`` of ipykernel 7.4 and ``InteractiveShell.run_cell`` of
IPython 9.18. The outcome holds the exception object, which an execute_reply does not.
"""

# mypy: allow-untyped-calls
# ipykernel's and IPython's methods are untyped

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from IPython.core.async_helpers import _asyncio_runner, _pseudo_sync_runner
from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult

from kernelfleet.engine.running.hints import add_hint
from kernelfleet.engine.running.interrupts import (
    Cancellation,
    run_cancellable,
    run_interruptible,
)
from kernelfleet.engine.running.namespace import Namespace
from kernelfleet.engine.running.scripts import Script, running_as_script
from kernelfleet.engine.running.tracebacks import (
    render_plainly,
    users_frames,
)
from kernelfleet.errors.text import shortened, text_of

#: What a shell has as ``last_shown_lines`` before it has shown an error of a cell.
NOTHING_SHOWN: tuple[None, list[str]] = (None, [])


@dataclass
class CellOutcome:
    """How a cell ended."""

    number: int
    translated: str
    exiting: bool = False
    error: BaseException | None = None
    traceback: list[str] = field(default_factory=list)


def remember_shown_errors(shell: Any) -> None:
    """Let the shell keep the last error it showed, and show a cancelled cell as interrupted.

    ``_get_exc_info`` is the only place where IPython 9.18 has the exception object of a broken
    ``__repr__`` (https://github.com/ipython/ipykernel/issues/1520). It also sees the CancelledError
    of an interrupted coroutine before IPython prints it.
    """
    get_exc_info = shell._get_exc_info

    def get_and_remember(exc_tuple: Any = None) -> Any:
        etype, error, tb = get_exc_info(exc_tuple)
        if isinstance(error, asyncio.CancelledError) and Cancellation.interrupted:
            etype, error = KeyboardInterrupt, KeyboardInterrupt()
        add_hint(error, shell.user_ns)
        Cancellation.shown = True
        shell.last_shown_error = error
        return etype, error, tb

    shell._get_exc_info = get_and_remember


def survive_broken_texts(shell: Any) -> None:
    """Let the shell show and store errors whose ``__str__`` raises.

    With ipykernel 7.4 and IPython 9.18 the exception from ``__str__`` would take the place of the
    error. This can go when both take an error's text with care.

    What was shown is also what is stored: IPython would render the error a second time.
    """
    show = shell._showtraceback
    note = getattr(shell, "_format_exception_for_storage", None)

    def show_in_any_case(etype: Any, error: Any, lines: Any) -> None:
        show(etype, shortened(text_of(error)) if isinstance(error, BaseException) else error, lines)
        shell.last_shown_lines = (error, lines)

    def note_in_any_case(error: Any, *args: Any, **options: Any) -> Any:
        shown, lines = shell.last_shown_lines
        if shown is error:
            text = shortened(text_of(error))
            return {"ename": type(error).__name__, "evalue": text, "traceback": lines}
        try:
            noted = note(error, *args, **options) if note is not None else None
            if isinstance(noted, dict):
                noted["evalue"] = shortened(str(noted.get("evalue", "")))
            return noted
        except Exception:  # noqa: BLE001 - the user's class takes part
            text = shortened(text_of(error))
            return {"ename": type(error).__name__, "evalue": text, "traceback": []}

    shell.last_shown_lines = NOTHING_SHOWN
    shell._showtraceback = show_in_any_case
    shell._format_exception_for_storage = note_in_any_case


async def run_cell(
    shell: Any,
    namespace: Namespace,
    code: str,
    *,
    store_history: bool = True,
    script: Script | None = None,
) -> CellOutcome:
    """Run a cell in the shell, which publishes what it prints and shows.

    Args:
        shell: IPython's shell.
        namespace: The shell's namespace.
        code: The cell.
        store_history: Keep the cell in the history under the next number.
        script: The script that ``code`` is the text of, if it is one.
    """
    shell._last_traceback = None
    shell._last_traceback_during_displayhook = False
    shell.last_shown_error, shell.last_shown_lines = None, NOTHING_SHOWN
    number = shell.execution_count
    if not code or code.isspace():
        if store_history:
            _count_blank(shell, code)
            _forget_unsaved(shell)
        return CellOutcome(number, code)
    cell = _Cell(shell, code, store_history, plain=script is not None and script.is_plain)
    with running_as_script(shell, script, code) if script is not None else nullcontext():
        result = await cell.run()
    outcome = CellOutcome(number, cell.translated)
    _note_error(shell, result, outcome)
    if outcome.error is None:
        namespace.claim(cell.translated)
    outcome.exiting = _take_payloads(shell)
    _forget_unsaved(shell)
    return outcome


def _forget_unsaved(shell: Any) -> None:
    """Drop the code that waits for the history database: it is off, so IPython 9.18 never does."""
    history = shell.history_manager
    if history is not None and not history.enabled:
        history.db_input_cache.clear()


def _count_blank(shell: Any, code: str) -> None:
    """Give a blank cell a number: IPython does not, but here every execute has one."""
    if shell.history_manager is not None:
        shell.history_manager.store_inputs(shell.execution_count, code, code)
    shell.execution_count += 1


class _Cell:
    """A cell while it is run."""

    def __init__(self, shell: Any, code: str, store_history: bool, *, plain: bool = False) -> None:
        self.shell = shell
        self.code = code
        self.store_history = store_history
        self.plain = plain  # plain Python, which IPython must not translate
        self.translated = code
        self.exc_tuple: Any = None
        self.awaits = False

    async def run(self) -> Any:
        try:
            run_interruptible(self._prepare)
        except KeyboardInterrupt as error:
            return self._failed(error)
        if not self.awaits:
            try:
                return run_interruptible(self._run_now)
            except BaseException as error:  # noqa: BLE001 - a cell may raise anything
                return self._finished_or_failed(error)
        try:
            return await run_cancellable(self._run_awaiting())
        except BaseException as error:  # noqa: BLE001 - likewise
            return self._finished_or_failed(error)

    def _prepare(self) -> None:
        shell = self.shell
        if self.plain:
            return
        try:
            self.translated = shell.transform_cell(self.code)
        except Exception:  # noqa: BLE001 - the user's transformers
            self.exc_tuple = sys.exc_info()
            return
        if "await" in self.translated or "async" in self.translated:
            self.awaits = shell.loop_runner is _asyncio_runner and shell.should_run_async(
                self.code, transformed_cell=self.translated, preprocessing_exc_tuple=None
            )

    def _coroutine(self) -> Any:
        return self.shell.run_cell_async(
            self.code,
            store_history=self.store_history,
            transformed_cell=self.translated,
            preprocessing_exc_tuple=self.exc_tuple,
        )

    def _run_now(self) -> Any:
        shell = self.shell
        if shell.loop_runner is not _asyncio_runner:
            return shell.run_cell(self.code, store_history=self.store_history)  # %autoawait trio
        result = None
        try:
            result = _pseudo_sync_runner(self._coroutine())
        finally:
            self._trigger_events(result)
        return result

    async def _run_awaiting(self) -> Any:
        result = None
        try:
            result = await self._coroutine()
        finally:
            self._trigger_events(result)
        return result

    def _trigger_events(self, result: Any) -> None:
        self.shell.events.trigger("post_execute")
        self.shell.events.trigger("post_run_cell", result)

    def _finished_or_failed(self, error: BaseException) -> Any:
        """Ignore an interrupt that came after the user's code had ended, while IPython worked."""
        last = self.shell.last_execution_result
        ours = last is not None and last.info is not None and last.info.raw_cell is self.code
        if isinstance(error, KeyboardInterrupt) and ours:
            self.shell.displayhook.exec_result = None
            return last
        return self._failed(error)

    def _failed(self, error: BaseException) -> Any:
        error.__traceback__ = users_frames(error.__traceback__)
        result = ExecutionResult(ExecutionInfo(self.code, True, False, True, None, None))
        result.error_in_exec = error
        self.shell.showtraceback((type(error), error, error.__traceback__))
        return result


def _note_error(shell: Any, result: Any, outcome: CellOutcome) -> None:
    error = result.error_before_exec
    if error is None:
        error = result.error_in_exec
    if error is None and shell._last_traceback_during_displayhook:
        error = shell.last_shown_error  # a broken __repr__
    if error is None:
        return
    if isinstance(error, asyncio.CancelledError) and isinstance(
        shell.last_shown_error, KeyboardInterrupt
    ):
        error = shell.last_shown_error
    outcome.error = error
    outcome.traceback = list(shell._last_traceback or render_plainly(error))


def _take_payloads(shell: Any) -> bool:
    """Publish what a pager would show, and tell whether the cell asked to exit."""
    payloads = shell.payload_manager.read_payload()
    shell.payload_manager.clear_payload()
    for payload in payloads:
        if payload.get("source") == "page":
            shell.display_pub.publish(payload["data"])
    return bool(shell.exit_now)
