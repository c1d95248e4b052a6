"""``kernelfleet scale``: have another number of engines in a running fleet."""

from __future__ import annotations

from traitlets import Float

from kernelfleet.cli.exits import EXIT_OK, UsageError
from kernelfleet.cli.naming import NamedCommand, find_fleet
from kernelfleet.errors.text import format_ids


class Scale(NamedCommand):
    """``kernelfleet scale``."""

    name = "kernelfleet-scale"
    usage = "kernelfleet scale [NAME] N [options]"
    description = """
        Have N engines in a running fleet: start some, or end those of the highest ids. An engine
        that is to end gets no new work, and ends when it has done what it was given.

        Without NAME: the fleet named `default`, else the only one running.
    """
    examples = """
        kernelfleet scale 8                 the fleet `default`, or the only one
        kernelfleet scale sweep 8           the fleet `sweep`
        kernelfleet scale +2                two more than there are; -1 is one less
    """

    timeout = Float(
        None, allow_none=True, min=0, help="Seconds to wait until it is done (no limit)."
    ).tag(config=True)
    aliases = {"name": "Scale.fleet_name", "timeout": "Scale.timeout", **NamedCommand.aliases}

    def work(self) -> int:
        """Scale the fleet; when this returns, the new engines answer."""
        names = [word for word in self.extra_args if _number(word) is None]
        wanted = [word for word in self.extra_args if _number(word) is not None]
        if len(wanted) != 1:
            said = f"not {' '.join(wanted)}" if wanted else "and none was given"
            if names and not wanted:
                said = f"such as 8, +2 or -1, and {names[-1]!r} is none"
            raise UsageError(f"it takes one number of engines, {said}")
        fleet = find_fleet(self.given_name(names))
        from kernelfleet.client.client import MultiEngineClient

        with MultiEngineClient(fleet.name) as mec:
            before, n = len(mec.get_ids()), int(wanted[0])
            if wanted[0][0] in "+-":
                n += before
            if n < 1:
                raise UsageError(f"a fleet has at least one engine, and this one has {before}")
            ids = mec.scale(n, block=True, timeout=self.timeout)
        count = "1 engine" if len(ids) == 1 else f"{len(ids)} engines"
        print(f"Fleet {fleet.name!r} has {count} now: {format_ids(ids)}.")
        return EXIT_OK


def _number(word: str) -> int | None:
    """How many engines a word asks for; None if it is no number, and so a name."""
    try:
        return int(word)
    except ValueError:
        return None
