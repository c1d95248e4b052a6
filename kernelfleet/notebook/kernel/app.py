"""The process of a fleet's kernel: an IPython kernel whose cells go to engines."""

# mypy: allow-untyped-calls
# ipykernel's and IPython's methods are untyped

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipykernel.kernelapp import IPKernelApp, kernel_aliases
from traitlets import Dict, Integer, Unicode

from kernelfleet.errors.tree import FleetError
from kernelfleet.notebook import autopx
from kernelfleet.notebook.extension import state_of
from kernelfleet.notebook.magics import ParallelMagics

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.fleet import Fleet
    from kernelfleet.notebook.shell_state import ShellState

#: Where the client is left, for cells under ``%%local``.
VARIABLE = "mec"

#: The options of the process, beside those of every kernel.
ALIASES = {
    "engines": "FleetKernelApp.engines",
    "connect": "FleetKernelApp.connect",
    "cluster": "FleetKernelApp.cluster",
    "engine-kernel": "FleetKernelApp.engine_kernel",
    "on-start": "FleetKernelApp.on_start",
    "preload": "FleetKernelApp.preload",
}

#: Makes the fleet, or a client of one that runs; the fleet is None then.
Opens = Callable[[], tuple["Fleet | None", "MultiEngineClient"]]


class FleetCells:
    """Has every cell of a shell run on engines, which are started for the first one at the latest.

    Args:
        state: The state of the shell.
        opens: Makes the fleet.
    """

    def __init__(self, state: ShellState, opens: Opens) -> None:
        self._state, self._opens = state, opens
        self._magics = ParallelMagics(state, "")
        autopx.enable(state, "", self.run, as_cells=True)

    def run(self, code: str) -> Any:
        """Run a cell.

        Raises:
            FleetError: The fleet did not start; the next cell tries again.
        """
        self.start()
        return self._magics.run_as_cell(code)

    def start(self) -> None:
        """Start the fleet, unless there is one."""
        if "" in self._state.clients:
            return
        fleet, client = self._opens()
        if fleet is not None:
            self._state.fleets[VARIABLE] = fleet
        self._state.clients[""] = client
        self._state.shell.push({VARIABLE: client})
        self._state.given_names.add(VARIABLE)


class FleetKernelApp(IPKernelApp):
    """The application of a fleet's kernel; its options stand in the kernelspec."""

    name = "kernelfleet-kernel"
    description = "An IPython kernel that runs every cell on all engines of a fleet."

    engines = Integer(None, allow_none=True, min=1, help="How many engines (one per core).").tag(
        config=True
    )
    connect = Unicode("", help="Use the running fleet of this name, which goes on afterwards.").tag(
        config=True
    )
    cluster = Unicode("", help="Where the engines run; empty is this machine.").tag(config=True)
    engine_kernel = Unicode("", help="The kernelspec of the engines (kernelfleet's own).").tag(
        config=True
    )
    on_start = Unicode("", help="Code that every engine runs first.").tag(config=True)
    preload = Unicode("", help="Modules (numpy,pandas) loaded once for all engines.").tag(
        config=True
    )
    aliases = Dict({**kernel_aliases, **ALIASES})

    _cells: FleetCells

    def initialize(self, argv: Any = None) -> None:
        """Make the kernel, and have its cells go to engines."""
        super().initialize(argv)
        if self.subapp is None:
            self._cells = FleetCells(state_of(self.shell), self._open)

    def start(self) -> None:
        """Start the engines of this machine at once, and answer.

        Others may have to be waited for, and front ends do not wait long for a kernel. So they are
        started for the first cell, which shows why it waits, and can be interrupted.
        """
        if self.subapp is None and not (self.connect or self.cluster):
            try:
                self._cells.start()
            except (FleetError, OSError, KeyboardInterrupt):
                # To the front end's log, as it belongs to no cell; the first cell tells it, too.
                traceback.print_exc(file=sys.__stderr__)
        super().start()

    def _open(self) -> tuple[Fleet | None, MultiEngineClient]:
        if self.connect:
            from kernelfleet.client.client import MultiEngineClient

            return None, MultiEngineClient(self.connect)
        from kernelfleet.client.fleet import Fleet

        options: dict[str, Any] = {
            "kernel": self.engine_kernel or None,
            "on_start": self.on_start or None,
            "preload": [name.strip() for name in self.preload.split(",") if name.strip()],
        }
        if self.cluster:
            options["cluster"] = self.cluster
        fleet = Fleet(self.engines, **options)
        return fleet, fleet.start()
