"""listener.py: the controller is a listener of its registry."""

from __future__ import annotations

from kernelfleet.controller.controller import Controller
from kernelfleet.controller.lifecycle.listener import Listener


def test_a_controller_hears_all_that_listeners_are_told() -> None:
    told = {name for name in vars(Listener) if not name.startswith("_")}
    assert told == {"engines_changed", "engine_restarted", "engine_finished"}
    assert all(callable(getattr(Controller, name)) for name in told)
