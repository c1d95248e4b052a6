"""The front end for IPython: what a client asks of the shell around it.

``kernelfleet.client.frontend`` describes each method, and decides when this front end serves.
Magics and live views are imported only when they are used, so that making a client stays quick.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from kernelfleet.client.frontend import BarFile, Begin, is_notebook, running_shell
from kernelfleet.client.settings import settings
from kernelfleet.notebook import failures, long_results


class IPythonFrontend:
    """IPython in a terminal, or the kernel of a notebook."""

    def client_created(self) -> None:
        """Have the shell show the errors of calls, and long results, in their own form."""
        shell = running_shell()
        failures.install(shell)
        long_results.install(shell)

    def activate(self, client: Any, suffix: str, shell: Any) -> None:
        """Have the magics of a shell serve a client; they are registered if they are not yet."""
        from kernelfleet.notebook import extension

        extension.activate(shell or running_shell(), client, suffix)

    def is_watched(self) -> bool:
        """Whether there is a person at the notebook, or the terminal.

        A notebook that is executed without one (by nbclient or papermill) accepts no input, which
        is how it is told apart. The stderr of IPython may be a file.
        """
        return _is_watched(running_shell())

    def live_output(self, *, in_result: bool) -> LiveOutput | None:
        """Show outputs of calls that the main thread makes.

        In a notebook, outputs that no result shows are shown also if nobody watches (the notebook
        is executed to be read later): they would be lost otherwise. Then only their final form is.
        """
        if threading.current_thread() is not threading.main_thread():
            return None
        shell = running_shell()
        live = settings.live and _is_watched(shell)
        if live or (not in_result and is_notebook(shell)):
            return LiveOutput(shell, live=live, in_result=in_result)
        return None

    def bar_file(self) -> BarFile | None:
        """In a notebook, a progress bar is a display that is updated."""
        shell = running_shell()
        if not is_notebook(shell):
            return None
        from kernelfleet.notebook.screens import DisplayFile

        return DisplayFile(shell)


def _is_watched(shell: Any) -> bool:
    if is_notebook(shell):
        return bool(getattr(shell.kernel, "_allow_stdin", False))
    return sys.stderr is not None and sys.stderr.isatty()


class LiveOutput:
    """The outputs of one call, live and in their final form.

    Args:
        shell: Where they are shown.
        live: Whether they are shown while they come.
        in_result: Whether the result shows them; then their final form is shown only if there is
            no result, because the call failed.
    """

    def __init__(self, shell: Any, *, live: bool, in_result: bool) -> None:
        self._shell, self._live, self._in_result = shell, live, in_result

    def wait(self, client: Any, begin: Begin, timeout: float | None, *, progress: bool) -> Any:
        """Start a call, show its outputs until it ends, and return its value."""
        from kernelfleet.notebook.running import View, wait_showing
        from kernelfleet.notebook.screens import screen_of

        screen = screen_of(self._shell, live=self._live)
        view = View(client, screen, status=progress and self._live, collapse=True)
        return wait_showing(client, begin, view, timeout, in_result=self._in_result)
