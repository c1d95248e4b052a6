"""``kernelfleet restart``: start engines of a running fleet afresh, also dead ones."""

from __future__ import annotations

import re

from traitlets import Float

from kernelfleet.cli.exits import EXIT_OK, UsageError
from kernelfleet.cli.naming import NamedCommand, find_fleet

#: An argument that names engines: ``all``, ``2``, ``0,2``, ``1:4``, ``-1:``.
TARGETS = re.compile(r"all|[-0-9:,]+")


class Restart(NamedCommand):
    """``kernelfleet restart``."""

    name = "kernelfleet-restart"
    usage = "kernelfleet restart [NAME] [TARGETS] [options]"
    description = """
        Start engines of a running fleet afresh under their ids, dead ones too. What they were
        doing fails; their variables are gone.

        TARGETS is all (if left out), 0, 0,2, 1:4 and the like; another word is the fleet's name.
        Without NAME: the fleet named `default`, else the only one running.
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
        names, targets_given = split_words(self.extra_args)
        if len(targets_given) > 1:
            raise UsageError(f"TARGETS is one word, {','.join(targets_given)}, without blanks")
        text = targets_given[0] if targets_given else "all"
        fleet = find_fleet(self.given_name(names))
        from kernelfleet.client.client import MultiEngineClient
        from kernelfleet.client.targets import parse_targets

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


def split_words(words: list[str]) -> tuple[list[str], list[str]]:
    """Split the arguments into those that name a fleet, and those that name engines.

    A fleet whose name could also name engines (``2``, ``all``) has to be named with ``--name``.
    """
    targets = [word for word in words if TARGETS.fullmatch(word)]
    return [word for word in words if word not in targets], targets
