"""The choice "Engines" in a notebook's toolbar: on which engines all its cells run.

JupyterLab's extension evaluates ``choose(...)`` and ``current()`` silently, as user expressions, so
that the notebook's own variables, history and prompts stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from IPython.utils.capture import capture_output

from kernelfleet.client import access
from kernelfleet.notebook import autopx
from kernelfleet.notebook.extension import state_of

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.fleet import Fleet
    from kernelfleet.notebook.shell_state import ShellState

#: Where ``%fleet`` leaves its client if nothing else is said.
VARIABLE = "mec"


class Choice:
    """On which engines the cells run; a Jupyter frontend gets it as JSON.

    Attributes:
        fleet: The name of their fleet; None if cells run in the notebook's kernel.
        engines: How many they are; none if the fleet has ended.
        own: Whether the fleet is the notebook's own, and ends with it.
    """

    def __init__(self, fleet: str | None = None, engines: int = 0, own: bool = False) -> None:
        self.fleet, self.engines, self.own = fleet, engines, own

    def __repr__(self) -> str:
        return f"Choice({self.fleet!r}, {self.engines}, own={self.own})"

    def _repr_json_(self) -> dict[str, Any]:
        return {"fleet": self.fleet, "engines": self.engines, "own": self.own}


def current(shell: Any = None) -> Choice:
    """On which engines the cells run now.

    Args:
        shell: The IPython shell; None is that of this process.
    """
    state = state_of(shell or get_ipython())
    client = state.clients.get("")
    if state.autopx is None or client is None:
        return Choice()
    engines = len(access.resolve_targets(client)) if access.is_open(client) else 0
    return Choice(access.fleet_name(client), engines, _owner(state, client) is not None)


def choose(wanted: str | int | None, shell: Any = None) -> Choice:
    """Have every cell run on engines, or in the notebook's kernel again.

    Args:
        wanted: The name of a running fleet; or how many engines the notebook's own fleet is to
            have, which is started if there is none; None switches the mode off.
        shell: The IPython shell; None is that of this process.

    Returns:
        What is chosen now.

    Raises:
        UsageError: ``mec`` is a variable of the user's.
        FleetError: the fleet did not start, or cannot be reached.
    """
    shell = shell or get_ipython()
    state = state_of(shell)
    if state.autopx is not None:
        autopx.disable(state)
    if wanted is not None:
        with capture_output():  # (what the magics say would be output of no cell)
            if isinstance(wanted, int):
                _use_own(state, wanted)
            else:
                _use_named(state, wanted)
            shell.run_line_magic("autopx", "")
    return current(shell)


def _use_own(state: ShellState, n: int) -> None:
    """Have the magics serve the notebook's own fleet, with so many engines."""
    fleet = state.fleets.get(VARIABLE)
    if fleet is None or not fleet.running:
        state.shell.run_line_magic("fleet", f"start -n {n}")
        return
    client = _serve(state, fleet)
    if len(access.engine_ids(client)) != n:
        client.scale(n, block=True)


def _use_named(state: ShellState, name: str) -> None:
    """Have the magics serve a running fleet; one of this process is not reached from outside."""
    for fleet in state.fleets.values():
        if fleet.running and access.fleet_name(fleet.client()) == name:
            _serve(state, fleet)
            return
    client = state.clients.get("")
    if client is None or not access.is_open(client) or access.fleet_name(client) != name:
        state.shell.run_line_magic("fleet", f"connect {name}")


def _serve(state: ShellState, fleet: Fleet) -> MultiEngineClient:
    """Have the magics serve a fleet of this notebook."""
    client = state.clients.get("")
    if client is None or not fleet.owns(client) or not access.is_open(client):
        client = fleet.client()
        state.clients[""] = client
        state.shell.push({VARIABLE: client})
        state.given_names.add(VARIABLE)
    return client


def _owner(state: ShellState, client: MultiEngineClient) -> Fleet | None:
    """The fleet of this notebook that a client belongs to; None if it is another's."""
    return next((each for each in state.fleets.values() if each.owns(client)), None)
