"""``%px``, ``%%px``, ``%result``, ``%autopx``, ``%pxpeek`` and ``%pxdebug``.

One ``ParallelMagics`` per suffix: ``mec.activate(suffix='gpu')`` gives ``%pxgpu`` and the like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import no_var_expand

from kernelfleet.client import access, frontend
from kernelfleet.client.frontend import is_notebook
from kernelfleet.client.targets import as_text, parse_targets
from kernelfleet.errors.composite import CompositeError
from kernelfleet.notebook import autopx, failures
from kernelfleet.notebook.attach import line_of, running_on
from kernelfleet.notebook.discarded import show, value_is_discarded
from kernelfleet.notebook.options import (
    CellOptions,
    HelpAsked,
    cell_options,
    cell_parser,
    is_option,
)
from kernelfleet.notebook.running import View, start, wait_showing
from kernelfleet.notebook.screens import NotebookScreen, Screen, TerminalScreen, screen_of
from kernelfleet.notebook.shell_state import NO_CLIENT, ShellState
from kernelfleet.results import ResultList

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.results.pending import PendingResult

#: The names of the magics, to which a suffix is appended, and their kinds.
NAMES = {
    "px": "line_cell", "engine": "cell", "result": "line", "autopx": "line", "pxpeek": "line",
    "pxdebug": "line",
}  # fmt: skip


def say(text: str) -> None:
    """Print a line to the user."""
    print(text)  # noqa: T201 (what magics do)


class ParallelMagics:
    """The magics of one suffix. They serve the client that was activated with this suffix."""

    def __init__(self, state: ShellState, suffix: str) -> None:
        self._state, self._suffix = state, suffix

    @property
    def _shell(self) -> Any:
        return self._state.shell

    def _client(self) -> MultiEngineClient:
        client = self._state.clients.get(self._suffix)
        if client is None:
            raise UsageError(NO_CLIENT)
        return client

    # -- px -------------------------------------------------------------------------------------

    @no_var_expand
    def px(self, line: str, cell: str | None = None) -> Any:
        """Run code on the engines.

        ``%px code`` runs a line on the active client's targets and returns what ``mec.execute``
        returns. ``%%px`` runs a cell and shows its output; its options::

            -t, --targets TARGETS   all, 0, 0,2, 1:4, ::2, -1: (the client's)
            -b, --block             wait; -a, --noblock do not (the client's)
            --timeout SECONDS       wait no longer; the work goes on
            -o, --out NAME          bind the results, with --noblock the PendingResult
            --push a,b              first copy these variables from here to the engines
            --pull c,d              then bind these, each to the list of the engines' values
            --local                 run the cell here as well
            --no-collapse           show each engine's output, also where it is the same
            --on-error WHAT         raise; show the error and go on; keep it for --out NAME
            --no-progress           do not say how many engines are done

        In these options ``{name}`` and ``$name`` stand for the value of a variable of yours; in
        the code, which belongs to the engines, they do not.
        """
        if line.strip() == "--help":
            return say(cell_parser().format_help().rstrip())
        client = self._client()
        if cell is None:
            self._check_line(line)
            say(f"Parallel execution on engines: {as_text(client.targets)}")
            return self.run_shown_by_result(line)
        # IPython would expand {name} and $name in the code as well, so the magic is registered
        # with no_var_expand, and the options are expanded here. depth=2 means the variables of the
        # frame that has called run_cell_magic.
        self._px_cell(client, self._shell.var_expand(line, depth=2), cell)
        return None

    def _px_cell(self, client: MultiEngineClient, line: str, cell: str) -> None:
        try:
            options = cell_options(line)
        except HelpAsked as help_asked:
            return say(str(help_asked))
        return self._run_cell(client, options, cell.removesuffix("\n"))

    @no_var_expand
    def engine(self, line: str, cell: str) -> None:
        """Run a cell on some engines: ``%%engine 1``, ``%%engine 0,2``, ``%%engine -1:``.

        It is ``%%px --targets 1``, and takes the options of ``%%px`` behind the engines. While
        every cell goes to the engines (``%autopx``), this one goes to those alone.
        """
        line = self._shell.var_expand(line, depth=2).strip()
        chosen, _, options = line.partition(" ")
        if not chosen or (chosen.startswith("-") and is_option(chosen)):
            raise UsageError("%%engine 1: which engines? (all, 0,2, 1:4, -1:)")
        self._px_cell(self._client(), f"--targets={chosen} {options}", cell)

    def run_as_cell(self, code: str) -> None:
        """Run code as ``%%px`` does: its outputs are shown, and an error is raised."""
        self._run_cell(self._client(), CellOptions(), code)

    @staticmethod
    def _check_line(line: str) -> None:
        if not line.strip():
            raise UsageError("%px needs code to run; %%px takes a cell")
        first = line.split(maxsplit=1)[0]
        # A line that begins with an option may be code: ``-x`` is an expression, ``-t 0`` is not.
        if is_option(first) and not autopx.is_python(line.strip()):
            raise UsageError(
                f"%px takes code and no options ({first}): `%%px {first} ...` has options, above "
                "a cell"
            )

    def run_shown_by_result(self, code: str) -> Any:
        """Run code and return its result; the result is also shown here if it is discarded."""
        value = self._run_line(code)
        if value_is_discarded():
            show(self._shell, value)
        return value

    def _run_line(self, code: str) -> Any:
        client = self._client()
        ids = access.resolve_targets(client)
        if not client.block:
            return self._start_detached(client, code, ids, collapse=self._state.settings.collapse)
        screen = screen_of(self._shell, live=self._shows_live())
        collapse = bool(self._state.settings.collapse)
        view = View(client, screen, status=client.progress, collapse=collapse)
        allow_stdin = self._takes_input()
        return wait_showing(
            client,
            lambda feed: access.start_code(client, code, ids, feed, allow_stdin=allow_stdin),
            view, None, in_result=True,
        )  # fmt: skip

    def _run_cell(self, client: MultiEngineClient, options: CellOptions, cell: str) -> None:
        ids = self._targets(client, options)
        block = client.block if options.block is None else options.block
        if not block and (options.timeout is not None or options.pull):
            raise UsageError("%%px: --timeout and --pull are for cells that are waited for")
        if options.push:
            client.push(self._names_here(options.push), targets=ids, block=True)
        if not block:
            collapse = self._collapses(options)
            pending = self._start_detached(client, cell, ids, collapse=collapse)
            self._bind(options, pending)
            if options.local:
                self._shell.run_cell(cell)
            return
        try:
            self._bind(options, self._wait_for_cell(client, options, cell, ids))
        except CompositeError as error:
            if options.on_error == "raise":
                raise
            self._bind(options, error)
            if options.on_error == "show":
                failures.show(self._shell, error)
            else:
                where = options.out or f"%result{self._suffix}"
                say(f"{failures.summary(error)}; see {where}")
            return
        if options.pull:
            values = [client.pull(name, targets=ids, block=True) for name in options.pull]
            self._shell.push(dict(zip(options.pull, values, strict=True)))

    def _wait_for_cell(
        self, client: MultiEngineClient, options: CellOptions, cell: str, ids: list[int]
    ) -> Any:
        view = self._view(client, options)
        pending = start(client, cell, ids, view, allow_stdin=self._takes_input())
        try:
            if options.local:
                self._shell.run_cell(cell)
            return access.wait(client, pending, options.timeout, view.follow)
        finally:
            view.finish(pending)

    def _start_detached(
        self, client: MultiEngineClient, code: str, ids: list[int], *, collapse: bool
    ) -> PendingResult[Any]:
        """Start a call that is not waited for; a notebook shows its output below this cell."""
        if not (is_notebook(self._shell) and self._state.settings.live):
            pending: PendingResult[Any] = client.execute(code, targets=ids, block=False)
            return pending
        screen = NotebookScreen(self._shell, detached=True)
        view = View(client, screen, status=False, collapse=collapse)
        screen.live(["running"])
        pending = start(client, code, ids, view, allow_stdin=False)
        view.follow_alone(pending)
        return pending

    def _view(self, client: MultiEngineClient, options: CellOptions) -> View:
        screen: Screen = TerminalScreen(permanent=True)
        if is_notebook(self._shell):
            screen = NotebookScreen(self._shell, live=self._shows_live())
        progress = client.progress if options.progress is None else options.progress
        return View(client, screen, status=progress, collapse=self._collapses(options))

    def _collapses(self, options: CellOptions) -> bool:
        if options.collapse is None:
            return bool(self._state.settings.collapse)
        return options.collapse

    def _shows_live(self) -> bool:
        """Whether a notebook shows outputs while they come, because a person watches."""
        return bool(self._state.settings.live) and self._takes_input()

    def _takes_input(self) -> bool:
        return frontend.current().is_watched() or not is_notebook(self._shell)

    def _targets(self, client: MultiEngineClient, options: CellOptions) -> list[int]:
        if options.targets is None:
            return access.resolve_targets(client)
        try:
            targets = parse_targets(options.targets, access.engine_ids(client))
        except ValueError as error:
            raise UsageError(f"%%px: {error}") from None
        return access.resolve_targets(client, targets)

    def _names_here(self, names: list[str]) -> dict[str, Any]:
        here = self._shell.user_ns
        missing = [name for name in names if name not in here]
        if missing:
            raise UsageError(f"%%px: --push {missing[0]}: there is no such variable here")
        return {name: here[name] for name in names}

    def _bind(self, options: CellOptions, value: Any) -> None:
        if options.out:
            self._shell.push({options.out: value})

    # -- the others -----------------------------------------------------------------------------

    def result(self, line: str) -> Any:
        """Show command number ``i`` of each engine, or its latest one: ``%result [i]``.

        A shortcut to ``mec.get_result``; a failed command is shown and not raised. Calls that are
        still running are named, with the id for ``%fleet attach``, which shows their output.
        """
        client = self._client()
        try:
            number = int(line) if line.strip() else None
        except ValueError:
            raise UsageError(f"%result takes the number of a command, not {line!r}") from None
        calls = running_on(client, access.resolve_targets(client))
        for engines in calls:
            say(line_of(engines))
        try:
            return client.get_result(number, block=True)
        except CompositeError as error:
            nothing_yet = all(isinstance(each, IndexError) for each in error.exceptions)
            if calls and number is None and nothing_yet:
                return ResultList(error.results.values()) or None
            raise

    def autopx(self, line: str) -> None:
        """Send every cell to the engines, until ``%autopx`` is called again."""
        if line.strip():
            raise UsageError("%autopx takes no argument; it switches on and off")
        if self._state.autopx is not None:
            autopx.disable(self._state)
            say("Auto Parallel Disabled")
        else:
            self._client()
            autopx.enable(self._state, self._suffix, self.run_shown_by_result)
            say(f"Auto Parallel Enabled\nType %autopx{self._suffix} to disable")

    def pxpeek(self, line: str) -> Any:
        """Read variables of engines, also of busy ones: ``%pxpeek NAME [NAME ...]``.

        Returns a dict of the value by engine id; for several names the value is a list.
        """
        client = self._client()
        names = line.replace(",", " ").split()
        if not names or not all(name.isidentifier() for name in names):
            raise UsageError("%pxpeek NAME [NAME ...]: which variables?")
        ids = access.resolve_targets(client)
        return dict(zip(ids, client.peek(names, targets=ids, block=True), strict=True))

    def pxdebug(self, line: str) -> None:
        """Debug the last error of an engine with ipdb: ``%pxdebug [engine]``.

        The debugger runs on the engine, where the error was raised. If no engine is named, it is
        the first whose latest command has failed.
        """
        client = self._client()
        try:
            engine_id = int(line) if line.strip() else self._failed_engine(client)
        except ValueError:
            raise UsageError(f"%pxdebug takes an engine id, not {line!r}") from None
        if engine_id is None:
            say("No engine's latest command has failed: nothing to debug.")
            return
        if not self._takes_input():
            raise UsageError("%pxdebug asks questions, and nobody is here to answer them")
        view = self._view(client, CellOptions(progress=False))
        ids = access.resolve_targets(client, engine_id)
        pending = start(client, "%debug", ids, view, allow_stdin=True)
        try:
            access.wait(client, pending, None, view.follow)
        finally:
            view.finish(pending)

    @staticmethod
    def _failed_engine(client: MultiEngineClient) -> int | None:
        for engine_id in access.resolve_targets(client):
            try:
                (latest,) = client.get_result(targets=engine_id, block=True)
            except CompositeError:
                continue  # nothing has run there
            if latest.error is not None:
                return engine_id
        return None


def register(state: ShellState, suffix: str) -> None:
    """Register the magics of a suffix in a shell."""
    magics = ParallelMagics(state, suffix)
    for name, kind in NAMES.items():
        function = getattr(magics, name)
        state.shell.register_magic_function(function, kind, name + suffix)
