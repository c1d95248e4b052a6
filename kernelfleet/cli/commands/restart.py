"""``kernelfleet restart``: start engines of a running fleet afresh, also dead ones."""

from __future__ import annotations

from traitlets import Float

from kernelfleet.cli import targets
from kernelfleet.cli.exits import EXIT_OK
from kernelfleet.cli.naming import NamedCommand, find_fleet


class Restart(NamedCommand):
    """``kernelfleet restart``."""

    name = "kernelfleet-restart"
    usage = "kernelfleet restart [NAME] [TARGETS] [options]"
    description = f"""
        Start engines of a running fleet afresh under their ids, dead ones too. What they were
        doing fails; their variables are gone.

        {targets.HELP} Without NAME: the fleet named `default`, else the only one running.
    """
    examples = """
        kernelfleet restart                 all engines of the fleet `default`, or the only one
        kernelfleet restart sweep 2         engine 2 of the fleet `sweep`
        kernelfleet restart 2 --name sweep  the same
    """

    timeout = Float(90.0, min=0, help="Seconds to wait until the engines answer (90).").tag(
        config=True
    )
    aliases = {"name": "Restart.fleet_name", "timeout": "Restart.timeout", **NamedCommand.aliases}

    def work(self) -> int:
        """Restart the engines; when this returns, they answer."""
        names, text = targets.split_words(self.extra_args)
        fleet = find_fleet(self.given_name(names))
        from kernelfleet.client.client import MultiEngineClient

        with MultiEngineClient(fleet.name) as mec:
            ids = targets.engine_ids(text, [engine.id for engine in mec.engines()])
            mec.restart(ids, block=True, timeout=self.timeout)
        print(f"Restarted in fleet {fleet.name!r}: {', '.join(map(str, ids)) or 'no engine'}.")
        return EXIT_OK
