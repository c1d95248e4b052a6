"""What is kept for a shell, and that its settings reach the clients."""

from __future__ import annotations

from traitlets.config import Config, Configurable

from kernelfleet.client.settings import settings
from kernelfleet.notebook.shell_state import KernelFleet, ShellState


def test_a_change_of_the_configuration_reaches_the_clients_of_the_process() -> None:
    configured = KernelFleet()
    try:
        configured.live = False
        assert (settings.live, settings.progress) == (False, True)
        configured.progress = False
        assert (settings.live, settings.progress) == (False, False)
    finally:
        configured.live = configured.progress = True
    assert (settings.live, settings.progress) == (True, True)


def test_a_new_state_has_no_clients_and_the_settings_of_its_shell() -> None:
    shell = Configurable(config=Config({"KernelFleet": {"collapse": False}}))
    state = ShellState(shell)
    assert (state.clients, state.fleets, state.given_names, state.suffixes) == (
        {},
        {},
        set(),
        set(),
    )
    assert state.autopx is None
    assert state.settings.collapse is False
