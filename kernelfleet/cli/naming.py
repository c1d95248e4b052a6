"""Which fleet a command is about: it is named by an argument, or by ``--name``."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from traitlets import Unicode

from kernelfleet import errors
from kernelfleet.cli import completion
from kernelfleet.cli.base import Command
from kernelfleet.cli.exits import UsageError
from kernelfleet.wire.files import connection_file, fleet_paths

#: The help of the option that names a fleet.
NAME_HELP = "The fleet's name, as the argument NAME (`default`, else the only one running)."


class NamedCommand(Command):
    """A command about one fleet: ``stop sweep`` and ``stop --name sweep`` are the same.

    A subclass has ``"name": "Stop.fleet_name"`` among its aliases, with the name of the subclass,
    because for traitlets a setting of a subclass wins over one of this class.
    """

    fleet_name = Unicode(None, allow_none=True, help=NAME_HELP).tag(
        config=True, completer=completion.fleets
    )
    completes_arguments: ClassVar[Any] = completion.fleets

    def given_name(self, words: list[str] | None = None) -> str | None:
        """The name of the fleet: the argument, else ``--name``, else that of the configuration.

        Args:
            words: The arguments that may be the name; None means all of them.

        Returns:
            The name; None if none is given.

        Raises:
            UsageError: Several names are given, or a fleet cannot have this name.
        """
        words = self.extra_args if words is None else words
        if len(words) > 1:
            raise UsageError(f"one fleet at most, not {' '.join(words)}")
        option = self.cli_config.get(type(self).__name__, {}).get("fleet_name")
        if words and option not in (None, words[0]):
            raise UsageError(f"the fleet is named twice, {words[0]} and --name {option}")
        name = words[0] if words else self.fleet_name
        try:
            return name if name is None else fleet_paths.check_name(name)
        except ValueError as error:
            raise UsageError(str(error)) from None


def find_fleet(name: str | None, *, may_start: bool = True) -> connection_file.FleetFile:
    """The running fleet called ``name``; without a name `default`, else the only one running.

    Args:
        name: The name of the fleet; may be None.
        may_start: Whether to advise the user to start a fleet, if there is none. That is no help to
            somebody who wants to stop one. He must also name one that is part of a notebook or
            another program, which goes on working with it.

    Raises:
        FleetNotFound: There is no such fleet.
        SeveralFleets: No name is given, and several fleets are running.
    """
    running = connection_file.find_fleets()
    if name is None and not may_start:
        return _only_daemon(running)
    if name is None:
        return connection_file.find_default()
    for fleet in running:
        if fleet.name == name:
            return fleet
    others = ", ".join(fleet.name for fleet in running)
    advice = f"; `kernelfleet start --name {name}` starts it" if may_start else ""
    raise errors.FleetNotFound(
        f"no fleet {name!r} is running ({f'running: {others}' if others else 'there is none'})"
        + advice
    )


def _only_daemon(running: list[connection_file.FleetFile]) -> connection_file.FleetFile:
    """The fleet that is stopped when none is named."""
    if not running:
        raise errors.FleetNotFound("no fleet is running")
    fleet = connection_file.find_default()
    if not fleet.embedded:
        return fleet
    raise errors.FleetNotFound(
        f"the only fleet is {fleet.name!r}, which is part of {owner_text(fleet)} and ends with it; "
        f"`kernelfleet stop {fleet.name}` ends the fleet alone"
    )


def owner_text(fleet: connection_file.FleetFile) -> str:
    """Whose fleet it is, in words: ``a daemon``, ``sweep.ipynb (pid 4711)``, ``pid 4711``."""
    if not fleet.embedded:
        return "a daemon"
    if fleet.owner_path is not None:
        return f"{os.path.basename(fleet.owner_path)} (pid {fleet.pid})"
    return f"a notebook (pid {fleet.pid})" if fleet.owner == "notebook" else f"pid {fleet.pid}"
