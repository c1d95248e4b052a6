"""``kernelfleet logs``: the log of a controller or an engine, also after its fleet has ended."""

from __future__ import annotations

import sys

from traitlets import Bool, Integer

from kernelfleet import errors
from kernelfleet.cli import completion
from kernelfleet.cli.exits import EXIT_OK
from kernelfleet.cli.naming import NamedCommand, find_fleet
from kernelfleet.wire.files.fleet_logs import follow, last_lines, log_file

#: Of an engine on a node of a cluster: how many lines, and how long the node may take.
MAX_LINES = 10_000
ASK_SECONDS = 30.0


class Logs(NamedCommand):
    """``kernelfleet logs``."""

    name = "kernelfleet-logs"
    usage = "kernelfleet logs [NAME] [--engine I] [--lines N] [-f]"
    description = """
        Show a fleet's log: what the controller noted (starts, deaths, restarts, stops), or with
        --engine what an engine printed, and where it was when it crashed. A fleet that has ended
        keeps its logs until the next start under its name, for 30 days at most.
    """

    engine = Integer(None, allow_none=True, min=0, help="Show this engine's log.").tag(config=True)
    follow = Bool(False, help="Go on as the log grows, until Ctrl-C.").tag(config=True)

    lines = Integer(None, allow_none=True, min=0, help="Begin with the last so many lines.").tag(
        config=True
    )

    completes_arguments = completion.logged_fleets
    aliases = {
        "name": "Logs.fleet_name",
        "engine": "Logs.engine",
        ("n", "lines"): "Logs.lines",
        **NamedCommand.aliases,
    }
    flags = {
        ("f", "follow"): ({"Logs": {"follow": True}}, "Go on as the log grows, until Ctrl-C."),
        **NamedCommand.flags,
    }

    def work(self) -> int:
        """Copy the log to stdout."""
        try:
            path = log_file(self.given_name(), self.engine)
        except errors.FleetNotFound as error:
            if self.engine is None or self.follow or not self._show_from_node(self.engine):
                raise error from None
            return EXIT_OK
        begun = None if self.lines is None else path.stat().st_size
        if self.lines is not None:
            _say(last_lines(path, self.lines))
        if self.follow:
            for text in follow(path, start=begun or 0):
                _say(text.decode(errors="replace"))
        elif self.lines is None:
            _say(path.read_bytes().decode(errors="replace"))
        return EXIT_OK

    def _show_from_node(self, engine: int) -> bool:
        """Show what the node of an engine has of its log; False if there is none."""
        from kernelfleet.client import access
        from kernelfleet.client.client import MultiEngineClient

        try:
            fleet = find_fleet(self.given_name())
            with MultiEngineClient(fleet.name) as mec:
                _say(access.engine_log(mec, engine, self.lines or MAX_LINES, ASK_SECONDS))
        except errors.FleetError:
            return False
        return True


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
