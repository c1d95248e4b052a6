"""The client in IPython: where it runs, and the one door to ``kernelfleet.notebook``.

The notebook side imports the client, not the other way round. Only what a client must do by
itself, because nobody has said ``%load_ext``, goes through here, and only inside IPython.
"""

from __future__ import annotations

import builtins
import sys
import threading
from typing import TYPE_CHECKING, Any

from kernelfleet.errors.tree import FleetError

if TYPE_CHECKING:
    from kernelfleet.client.base import BaseClient, Begin
    from kernelfleet.client.client import MultiEngineClient


def running_shell() -> Any:
    """The IPython shell of this process, or None. Imports nothing."""
    ipython = sys.modules.get("IPython")
    if ipython is None or not hasattr(ipython, "get_ipython"):
        return None
    shell = ipython.get_ipython()
    if shell is None:  # a bare shell, which is nobody's instance, says so while it runs a cell
        get_ipython = getattr(builtins, "get_ipython", None)
        shell = None if get_ipython is None else get_ipython()
    return shell


def greet_shell() -> None:
    """A client was made: inside IPython its errors are to be shown as what they are."""
    shell = running_shell()
    if shell is not None:
        from kernelfleet.notebook import failures, long_results

        failures.install(shell)
        long_results.install(shell)


def activate(client: MultiEngineClient, suffix: str, shell: Any) -> None:
    """Have the magics of a shell serve a client."""
    shell = shell or running_shell()
    if shell is None:
        raise FleetError("activate() is for IPython and notebooks, and none is running here")
    from kernelfleet.notebook import extension

    extension.activate(shell, client, suffix)


def execute_live(
    client: Any,
    content: dict[str, Any],
    label: str,
    targets: list[int],
    timeout: float | None,
    progress: bool,
) -> Any:
    """Run code with its output shown while it runs; for where ``shows_live``."""
    from kernelfleet.notebook import running

    return running.execute_live(
        running_shell(), client, content["code"], targets,
        timeout=timeout, status=progress, collapse=True, live=True, allow_stdin=False,
        content=content, command=label,
    )  # fmt: skip


def shows_live() -> bool:
    """Whether a blocking call is to show what engines print: in IPython, to somebody."""
    if "IPython" not in sys.modules or running_shell() is None:
        return False
    from kernelfleet.client.results.progress import Switch

    in_main = threading.current_thread() is threading.main_thread()
    return Switch.live and in_main and somebody_watches()


def shows_output() -> bool:
    """Whether a blocking call whose result does not tell is to show what engines put out.

    Also where nobody watches, as in a notebook that is executed: it would be lost otherwise.
    """
    if "IPython" not in sys.modules:
        return False
    shell = running_shell()
    in_main = threading.current_thread() is threading.main_thread()
    return shell is not None and in_main and (is_notebook(shell) or shows_live())


def wait_showing(client: BaseClient, begin: Begin, timeout: float | None, *, progress: bool) -> Any:
    """Wait for a call with its output shown; for where ``shows_output``."""
    from kernelfleet.notebook import running

    return running.wait_showing(
        running_shell(), client, begin, timeout=timeout, status=progress, live=shows_live()
    )


def display_file(shell: Any) -> Any:
    """A file whose present line is shown in the notebook, in place, and is gone in the end."""
    from kernelfleet.notebook.screens import DisplayFile

    return DisplayFile(shell)


def is_notebook(shell: Any) -> bool:
    """Whether a shell shows things in a notebook (or another frontend of a Jupyter kernel)."""
    return getattr(shell, "kernel", None) is not None


def somebody_watches() -> bool:
    """Whether there is a person to see what is shown only for a while.

    A frontend with nobody at it (nbclient, papermill) takes no input; a script's output may go to
    a file.
    """
    shell = running_shell()
    if is_notebook(shell):
        return bool(getattr(shell.kernel, "_allow_stdin", False))
    return sys.stderr is not None and sys.stderr.isatty()
