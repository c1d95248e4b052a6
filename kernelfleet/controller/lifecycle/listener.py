"""Listener: who is told of what happens to engines."""

from __future__ import annotations

from typing import Protocol

from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.engines.in_flight import InFlight, Outcome


class Listener(Protocol):
    """Is notified of what happens to engines."""

    def engines_changed(self) -> None:
        """An engine was started, has died, or was removed."""

    def engine_restarted(self, engine: Engine) -> None:
        """An engine was started afresh: its namespace is empty."""

    def engine_finished(self, engine: Engine, run: InFlight, outcome: Outcome) -> None:
        """An engine has ended a request; called just before the request gets its result."""
