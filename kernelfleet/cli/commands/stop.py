"""``kernelfleet stop``: have a controller end its fleet, and wait until it has ended.

The controller is sent SIGTERM, on which it ends in order. A signal also reaches a controller that
answers no message. A message is sent instead on Windows, where SIGTERM would end the process at
once, and if the connection file is from another host (of a shared home directory), where its pid
means another process.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import time
from collections.abc import Callable

from traitlets import Float

from kernelfleet import errors
from kernelfleet.cli.exits import EXIT_FAILED, EXIT_OK, complain
from kernelfleet.cli.naming import NamedCommand, find_fleet, owner_text
from kernelfleet.wire.files import fleet_directory, fleet_paths
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.platforms import HERE

POLL_SECONDS = 0.02


class Stop(NamedCommand):
    """``kernelfleet stop``."""

    name = "kernelfleet-stop"
    usage = "kernelfleet stop [NAME] [options]"
    description = """
        Stop a running fleet and its engines. Without NAME: the fleet named `default`, else the
        only daemon running. A fleet that is part of a notebook or a program is stopped by its name
        only; its owner goes on.
    """

    timeout = Float(
        10.0, min=0, help="Seconds to wait for an orderly end before the fleet is killed (10)."
    ).tag(config=True)
    aliases = {
        "name": "Stop.fleet_name",
        "timeout": "Stop.timeout",
        **NamedCommand.aliases,
    }

    def work(self) -> int:
        """Stop the fleet; it has ended when this returns."""
        fleet = find_fleet(self.given_name(), may_start=False)
        if not _end(fleet, _ask_to_end, self.timeout):
            if not _is_here(fleet):
                complain(
                    f"fleet {fleet.name!r} runs on the host {fleet.host!r} (pid {fleet.pid} there) "
                    f"and does not answer from here: run `kernelfleet stop {fleet.name}` there"
                )
                return EXIT_FAILED
            if fleet.embedded:
                complain(
                    f"fleet {fleet.name!r} is part of {owner_text(fleet)}, which does not answer: "
                    "end that process, and the fleet ends with it"
                )
                return EXIT_FAILED
            complain(f"fleet {fleet.name!r} did not end within {self.timeout:g} s: killing it")
            _end(fleet, _kill, self.timeout)
            fleet_directory.remove_stale()
        print(f"Fleet {fleet.name!r} is stopped.")
        return EXIT_OK


def _is_here(fleet: FleetFile) -> bool:
    """Whether the process that a connection file names is one of this host."""
    return fleet.host in ("", platform.node())


def _ask_to_end(fleet: FleetFile) -> None:
    if HERE.process_groups and _is_here(fleet) and not fleet.embedded:
        os.kill(fleet.pid, signal.SIGTERM)
        return
    from kernelfleet.client.client import MultiEngineClient

    with MultiEngineClient(fleet.name) as mec:
        mec.stop_fleet()


def _kill(fleet: FleetFile) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(fleet.pid).kill()


def _end(
    fleet: FleetFile,
    tell: Callable[[FleetFile], None],
    timeout: float,
) -> bool:
    """Have the controller end, and wait until it has released the fleet's lock."""
    with contextlib.suppress(ProcessLookupError, errors.FleetError):  # (it was ending already)
        tell(fleet)
    deadline = time.monotonic() + timeout
    while fleet_paths.is_running(fleet.name):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
