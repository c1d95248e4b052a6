"""``kernelfleet restart``: start engines of a running fleet afresh, dead ones too."""

from __future__ import annotations

from traitlets import Float, Unicode

from kernelfleet.cli.base import EXIT_OK, Command, UsageError, find_fleet


class Restart(Command):
    """``kernelfleet restart``."""

    name = "kernelfleet-restart"
    usage = "kernelfleet restart [TARGETS] [--name NAME] [options]"
    description = """
        Start engines of a running fleet afresh under their ids, dead ones too. What they were
        doing fails; their variables are gone.

        TARGETS is all (if left out), 0, 0,2, 1:4 and the like.
    """
    examples = """
        kernelfleet restart                 all engines of the fleet `default`, or the only one
        kernelfleet restart 2 --name sweep
    """

    fleet_name = Unicode(
        None, allow_none=True, help="The fleet's name (`default`, else the only one running)."
    ).tag(config=True)
    timeout = Float(90.0, min=0, help="Seconds to wait until the engines answer (90).").tag(
        config=True
    )
    aliases = {"name": "Restart.fleet_name", "timeout": "Restart.timeout", **Command.aliases}

    def work(self) -> int:
        """Restart the engines; they answer when this returns."""
        text = self.at_most_one_argument("TARGETS (0,2 has no blanks)") or "all"
        fleet = find_fleet(self.fleet_name)
        from kernelfleet.client.client import MultiEngineClient
        from kernelfleet.client.grammar import parse_targets

        with MultiEngineClient(fleet.name) as mec:
            known = [engine.id for engine in mec.engines()]
            try:
                targets = parse_targets(text, known)
            except ValueError as error:
                raise UsageError(str(error)) from None
            if targets == "all":
                targets = known
            elif isinstance(targets, slice):
                targets = known[targets]
            mec.restart(targets, block=True, timeout=self.timeout)
        ids = [targets] if isinstance(targets, int) else list(dict.fromkeys(targets))
        print(f"Restarted in fleet {fleet.name!r}: {', '.join(map(str, ids)) or 'no engine'}.")
        return EXIT_OK
