"""``%load_ext kernelfleet`` and ``mec.activate()``: what kernelfleet has in each shell.

A ``ShellState`` per shell holds the clients that the magics serve, the fleets started here, and the
settings. It is made when the extension is loaded or a client activated, and prints nothing.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from traitlets import Bool
from traitlets.config import Configurable

from kernelfleet.client.results.progress import Switch
from kernelfleet.notebook import failures, long_results

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.fleet import Fleet
    from kernelfleet.notebook.autopx import AutoPx

NO_CLIENT = (
    "No active client: start a fleet with `%fleet start -n 4`, connect to a running one with "
    "`%fleet connect`, or call activate() on a MultiEngineClient."
)


class KernelFleet(Configurable):
    """Settings of the magics: ``%config KernelFleet``."""

    progress = Bool(True, help="Show how calls that take long get on.").tag(config=True)
    live = Bool(True, help="Show output of engines while it comes.").tag(config=True)
    collapse = Bool(True, help="Show identical outputs of several engines once.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.observe(lambda change: setattr(Switch, "on", change["new"]), "progress")
        self.observe(lambda change: setattr(Switch, "live", change["new"]), "live")


class ShellState:
    """What kernelfleet has in one shell."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.clients: dict[str, MultiEngineClient] = {}
        #: Fleets started by ``%fleet start``, by the name their client has here.
        self.fleets: dict[str, Fleet] = {}
        #: The names under which ``%fleet`` has left clients.
        self.given_names: set[str] = set()
        self.settings = KernelFleet(parent=shell)
        self.suffixes: set[str] = set()
        #: ``%autopx``, while it is on.
        self.autopx: AutoPx | None = None


_desks: weakref.WeakKeyDictionary[Any, ShellState] = weakref.WeakKeyDictionary()


def desk_of(shell: Any) -> ShellState:
    """The desk of a shell, with the magics registered."""
    desk = _desks.get(shell)
    if desk is None:
        desk = _desks[shell] = ShellState(shell)
        shell.configurables.append(desk.settings)
        failures.install(shell)
        long_results.install(shell)
        from kernelfleet.notebook import completion, fleet_magic

        completion.install(desk)
        fleet_magic.register(desk)
        _register(desk, "")
    return desk


def _register(desk: ShellState, suffix: str) -> None:
    from kernelfleet.notebook import magics

    if suffix not in desk.suffixes:
        desk.suffixes.add(suffix)
        magics.register(desk, suffix)


def load(shell: Any) -> None:
    """``%load_ext kernelfleet``."""
    desk_of(shell)


def unload(shell: Any) -> None:
    """``%unload_ext kernelfleet``: the magics go; fleets and clients stay."""
    desk = _desks.pop(shell, None)
    if desk is None:
        return
    from kernelfleet.notebook import autopx, completion, fleet_magic, magics

    if desk.autopx is not None:
        autopx.disable(desk)
    completion.remove(desk)
    names = [fleet_magic.NAME]
    names += [name + suffix for name in magics.NAMES for suffix in desk.suffixes]
    for kind in shell.magics_manager.magics.values():
        for name in names:
            kind.pop(name, None)
    shell.configurables.remove(desk.settings)


def activate(shell: Any, client: MultiEngineClient, suffix: str = "") -> None:
    """Have the magics with this suffix serve a client.

    Raises:
        ValueError: the suffix cannot be part of a name.
    """
    if suffix and not f"px{suffix}".isidentifier():
        raise ValueError(f"a suffix is letters, digits and underscores, not {suffix!r}")
    desk = desk_of(shell)
    _register(desk, suffix)
    desk.clients[suffix] = client
