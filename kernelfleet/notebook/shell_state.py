"""What kernelfleet keeps for each IPython shell: clients, fleets, settings, ``%autopx``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Bool
from traitlets.config import Configurable

from kernelfleet.client.settings import settings

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.fleet import Fleet

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
        # Clients know nothing of IPython's configuration, so they are told of each change.
        for name in ("progress", "live"):
            self.observe(lambda change: setattr(settings, change["name"], change["new"]), name)


class ShellState:
    """What kernelfleet keeps for one shell.

    Attributes:
        shell: The shell.
        clients: The client that the magics of each suffix serve.
        fleets: The fleets that ``%fleet start`` has started, by the variable their client is in.
        given_names: The variables in which ``%fleet`` has left clients.
        settings: What ``%config KernelFleet`` shows and sets.
        suffixes: The suffixes that magics are registered for.
        autopx: The ``%autopx`` mode (an ``AutoPx``) while it is on, else None.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.clients: dict[str, MultiEngineClient] = {}
        self.fleets: dict[str, Fleet] = {}
        self.given_names: set[str] = set()
        self.settings = KernelFleet(parent=shell)
        self.suffixes: set[str] = set()
        self.autopx: Any = None
