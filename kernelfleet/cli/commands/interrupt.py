"""``kernelfleet interrupt``: interrupt what engines of a running fleet do, whoever asked for it."""

from __future__ import annotations

from traitlets import Float

from kernelfleet.cli import targets
from kernelfleet.cli.exits import EXIT_OK
from kernelfleet.cli.naming import NamedCommand, find_fleet
from kernelfleet.errors.text import format_ids


class Interrupt(NamedCommand):
    """``kernelfleet interrupt``."""

    name = "kernelfleet-interrupt"
    usage = "kernelfleet interrupt [NAME] [TARGETS] [options]"
    description = f"""
        Interrupt what engines of a running fleet do, as Ctrl-C would, whoever asked for it. It
        fails with KeyboardInterrupt. Variables stay, and engines that do nothing are left alone.

        {targets.HELP} Without NAME: the fleet named `default`, else the only one running.
    """
    examples = """
        kernelfleet interrupt               all engines of the fleet `default`, or the only one
        kernelfleet interrupt sweep 0,2     engines 0 and 2 of the fleet `sweep`
    """

    timeout = Float(30.0, min=0, help="Seconds to wait for the controller (30).").tag(config=True)
    aliases = {
        "name": "Interrupt.fleet_name", "timeout": "Interrupt.timeout", **NamedCommand.aliases,
    }  # fmt: skip

    def work(self) -> int:
        """Interrupt the engines, and print which of them did something."""
        names, text = targets.split_words(self.extra_args)
        fleet = find_fleet(self.given_name(names))
        from kernelfleet.client.client import MultiEngineClient

        with MultiEngineClient(fleet.name) as mec:
            engines = [engine for engine in mec.engines() if engine.state != "dead"]
            ids = targets.engine_ids(text, [engine.id for engine in engines])
            busy = {engine.id for engine in engines if engine.running is not None}
            mec.interrupt(ids, block=True, timeout=self.timeout)
        worked = [engine_id for engine_id in ids if engine_id in busy]
        if worked:
            print(f"Interrupted in fleet {fleet.name!r}: {format_ids(worked)}.")
        else:
            print(f"Nothing ran on engines {format_ids(ids)} of fleet {fleet.name!r}.")
        return EXIT_OK
