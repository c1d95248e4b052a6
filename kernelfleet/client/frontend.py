"""What a client asks of the program around it: a plain script, or an IPython shell.

A client runs in a script, in IPython in a terminal, or in a notebook. What differs between them
stands behind ``Frontend``. ``PlainFrontend`` serves scripts. ``kernelfleet.notebook`` has the front
end for IPython, and the package's facade offers it here, so that no module of the client imports
the notebook side.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from kernelfleet.errors.tree import FleetError

if TYPE_CHECKING:
    from kernelfleet.client.controller_proxy import OnOutput

#: Starts a call and returns its PendingResult; the call's outputs go to the function it is given.
Begin = Callable[["OnOutput | None"], Any]


class BarFile(Protocol):
    """A file in which a progress bar is drawn."""

    def write(self, text: str) -> object:
        """Show a text, in place of the one before if it begins with a carriage return."""

    def flush(self) -> object:
        """Show what is held back."""

    def finish(self, summary: str) -> None:
        """Leave this line in the place of the bar."""


class LiveOutput(Protocol):
    """Shows what engines print while a call is waited for."""

    def wait(self, client: Any, begin: Begin, timeout: float | None, *, progress: bool) -> Any:
        """Start a call, show its outputs until it ends, and return its value.

        Args:
            client: The client that makes the call.
            begin: Starts the call.
            timeout: Seconds to wait; None means no limit.
            progress: Whether to show how many engines, or items, are done.
        """


class Frontend(Protocol):
    """The program around a client, as far as a client needs to know it."""

    def client_created(self) -> None:
        """A client was made in this process."""

    def activate(self, client: Any, suffix: str, shell: Any) -> None:
        """Have the magics with this suffix serve a client.

        Args:
            client: The client.
            suffix: What stands at the end of the magics' names; may be empty.
            shell: An IPython shell; None is the one that runs.

        Raises:
            FleetError: No shell is running.
        """

    def is_watched(self) -> bool:
        """Whether a person sees what is shown only for a while, such as a progress bar."""

    def live_output(self, *, in_result: bool) -> LiveOutput | None:
        """What shows the outputs of a blocking call while it runs; None to show nothing.

        Args:
            in_result: Whether the result of the call shows the outputs, too. If it does not, and
                nothing else does, they would never be seen.
        """

    def bar_file(self) -> BarFile | None:
        """Where a progress bar is drawn; None for stderr."""


class PlainFrontend:
    """A script, or Python's own shell: nothing but stdout and stderr."""

    def client_created(self) -> None:
        """Nothing depends on it here."""

    def activate(self, client: Any, suffix: str, shell: Any) -> None:
        """Refuse: there are no magics here."""
        raise FleetError("activate() is for IPython and notebooks, and none is running here")

    def is_watched(self) -> bool:
        """Whether stderr is a terminal; the output of a script may go to a file."""
        return sys.stderr is not None and sys.stderr.isatty()

    def live_output(self, *, in_result: bool) -> LiveOutput | None:
        """Nothing is shown while a call runs."""
        return None

    def bar_file(self) -> BarFile | None:
        """A progress bar is drawn on stderr."""
        return None


class _Known:
    """The front ends of this process."""

    plain: ClassVar[Frontend] = PlainFrontend()
    #: Makes the front end for IPython, when it is first needed.
    make_for_ipython: ClassVar[Callable[[], Frontend] | None] = None
    for_ipython: ClassVar[Frontend | None] = None


def offer(make_for_ipython: Callable[[], Frontend]) -> None:
    """Say how the front end for IPython is made; it is made once, when a client needs it."""
    _Known.make_for_ipython = make_for_ipython
    _Known.for_ipython = None


def current(shell: Any = None) -> Frontend:
    """The front end of this process, as it is now: IPython may have been started meanwhile.

    Args:
        shell: An IPython shell that is to be served although it is not the one that runs.
    """
    if (shell or running_shell()) is None or _Known.make_for_ipython is None:
        return _Known.plain
    if _Known.for_ipython is None:
        _Known.for_ipython = _Known.make_for_ipython()
    return _Known.for_ipython


def running_shell() -> Any:
    """The IPython shell of this process, or None. Imports nothing."""
    ipython = sys.modules.get("IPython")
    if ipython is None or not hasattr(ipython, "get_ipython"):
        return None
    shell = ipython.get_ipython()
    if shell is None:
        # A shell that was made without instance() is not known to get_ipython(), but while it runs
        # a cell, the name `get_ipython` among the builtins is its own.
        get_ipython = getattr(builtins, "get_ipython", None)
        shell = None if get_ipython is None else get_ipython()
    return shell


def is_notebook(shell: Any) -> bool:
    """Whether a shell belongs to a Jupyter kernel: what it shows goes to a notebook or the like."""
    return getattr(shell, "kernel", None) is not None
