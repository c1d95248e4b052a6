"""``kernelfleet stop``: tell a controller to end, and wait until its fleet is gone.

By signal, not by message: SIGTERM is an orderly stop, and it also reaches a controller that
answers nobody.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from traitlets import Float

from kernelfleet.cli.base import EXIT_OK, Command, complain, find_fleet
from kernelfleet.wire import connection

POLL_SECONDS = 0.02


class Stop(Command):
    """``kernelfleet stop``."""

    name = "kernelfleet-stop"
    usage = "kernelfleet stop [NAME] [options]"
    description = """
        Stop a running fleet and its engines. Without NAME: the fleet named `default`, else the
        only one running.
    """

    timeout = Float(
        10.0, min=0, help="Seconds to wait for an orderly end before the fleet is killed (10)."
    ).tag(config=True)
    aliases = {"timeout": "Stop.timeout", **Command.aliases}

    def work(self) -> int:
        """Stop the fleet; nothing of it is left when this returns."""
        fleet = find_fleet(self.at_most_one_argument("fleet"))
        if not _end(fleet, signal.SIGTERM, self.timeout):
            complain(f"fleet {fleet.name!r} did not end within {self.timeout:g} s: killing it")
            _end(fleet, signal.SIGKILL, self.timeout)
            connection.remove_stale()
        print(f"Fleet {fleet.name!r} is stopped.")
        return EXIT_OK


def _end(fleet: connection.FleetFile, signum: signal.Signals, timeout: float) -> bool:
    """Signal the controller and wait until it has let go of the fleet's lock."""
    with contextlib.suppress(ProcessLookupError):  # it was just ending
        os.kill(fleet.pid, signum)
    deadline = time.monotonic() + timeout
    while connection.is_running(fleet.name):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
