"""What ``%fleet status``, ``%fleet top`` and ``%fleet logs`` show of a fleet."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from kernelfleet.client import access
from kernelfleet.client.frontend import is_notebook
from kernelfleet.client.usage import CPU_SECONDS
from kernelfleet.client.watching import Watch
from kernelfleet.display import html, overview
from kernelfleet.display.layout import Text
from kernelfleet.errors.tree import FleetError, FleetNotFound
from kernelfleet.notebook.screens import NotebookScreen, Screen, TerminalScreen
from kernelfleet.wire.files.fleet_logs import last_lines, log_file

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient

#: How long the controller may take to show a log, in seconds.
ASK_SECONDS = 30.0
#: Seconds between two looks of ``%fleet top``.
INTERVAL_SECONDS = 1.0
#: How long it goes on by itself in a notebook. A front end may say that there is a user though
#: nobody presses its stop button, as one does that runs the cells of a closed page on its server.
NOTEBOOK_SECONDS = 600.0
#: How wide its page is in a notebook, in characters.
NOTEBOOK_COLUMNS = 110


class Status:
    """The engines of a client's fleet, as they were when this object was made."""

    def __init__(self, client: MultiEngineClient) -> None:
        self._engines = client.engines(cpu=True)
        self._name = access.fleet_name(client)
        self._defaults = f"targets={client.targets}, block={client.block}"

    def __repr__(self) -> str:
        return repr(self._engines)

    def _repr_html_(self) -> str:
        return html.fleet(self._name, self._engines, self._defaults)


def top(client: MultiEngineClient, shell: Any, *, watched: bool, seconds: float | None) -> None:
    """Show what the engines do, each second anew, until Ctrl-C or the stop button ends it.

    Args:
        client: A client of the fleet.
        shell: Where it is shown.
        watched: Whether somebody is there to watch; if not, it is shown once.
        seconds: For how long it is shown; None means until it is ended, in a notebook after ten
            minutes at the latest.
    """
    watch, head = Watch(client), f"Fleet {access.fleet_name(client)!r}"
    screen, columns = _screen(shell)
    limit = NOTEBOOK_SECONDS if seconds is None and is_notebook(shell) else seconds
    look, below = watch.look(), []
    deadline = None if limit is None else time.monotonic() + limit
    try:
        time.sleep(CPU_SECONDS)
        look = watch.look()
        while watched and (deadline is None or time.monotonic() < deadline):
            screen.live(overview.page(head, look, columns, screen.height))
            time.sleep(INTERVAL_SECONDS)
            look = watch.look()
        if watched and seconds is None:
            below = [f"(after {NOTEBOOK_SECONDS:g} s; %fleet top --for SECONDS watches longer)"]
    except KeyboardInterrupt:
        pass  # that is how it ends
    finally:
        screen.finish([Text([*overview.page(head, look, columns), *below])])


def _screen(shell: Any) -> tuple[Screen, int]:
    """Where a page is shown, and how wide that is."""
    if is_notebook(shell):
        return NotebookScreen(shell), NOTEBOOK_COLUMNS
    size = shutil.get_terminal_size()
    terminal = TerminalScreen(permanent=False)
    terminal.height = max(terminal.height, size.lines - 2)
    return terminal, size.columns - 1


def log_text(client: MultiEngineClient, engine: int | None, lines: int) -> str:
    """The end of the log of the controller of a client's fleet, or of one of its engines."""
    try:
        return last_lines(log_file(access.fleet_name(client), engine), lines)
    except FleetNotFound as error:
        if engine is None:
            raise UsageError(
                "%fleet logs: a fleet that ends with this process logs to the logger "
                "`kernelfleet` of Python's logging; --engine I shows an engine's log"
            ) from None
        try:  # a fleet on many machines has it elsewhere
            return access.engine_log(client, engine, lines, ASK_SECONDS)
        except FleetError:
            raise UsageError(f"%fleet logs: {error}") from None
