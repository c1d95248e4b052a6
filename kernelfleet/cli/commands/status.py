"""``kernelfleet status`` and ``kernelfleet list``: engines and fleets, as a table or as JSON.

The JSON has a ``version``, which changes when a key is removed or changes its meaning.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Float

from kernelfleet import errors
from kernelfleet.cli.exits import EXIT_OK
from kernelfleet.cli.naming import NamedCommand, find_fleet, owner_text
from kernelfleet.display import tables
from kernelfleet.wire.files import connection_file

if TYPE_CHECKING:
    from kernelfleet.results import EngineList

JSON_VERSION = 1
ASK_SECONDS = 30.0
#: Empties a terminal, and writes on from its first line.
WIPE = "\x1b[H\x1b[2J\x1b[3J"


class Report(NamedCommand):
    """A command that prints a table, or with ``--json`` the same as JSON."""

    json = Bool(False, help="Print JSON for programs.").tag(config=True)
    flags = {
        "json": ({"Report": {"json": True}}, "Print JSON for programs."),
        **NamedCommand.flags,
    }


class Status(Report):
    """``kernelfleet status``."""

    name = "kernelfleet-status"
    watch = Bool(False, help="Show it again and again, until Ctrl-C.").tag(config=True)
    interval = Float(2.0, min=0.1, help="Seconds between two looks of --watch (2).").tag(
        config=True
    )
    aliases = {
        "name": "Status.fleet_name", "interval": "Status.interval", **Report.aliases,
    }  # fmt: skip
    flags = {
        ("w", "watch"): (
            {"Status": {"watch": True}}, "Show it again and again; with --json a line each."
        ),
        **Report.flags,
    }  # fmt: skip
    usage = "kernelfleet status [NAME] [--watch] [--json]"
    description = """
        Show the engines of a running fleet. Without NAME: the fleet named `default`, else the only
        one running. The memory of an engine holds what IPython keeps there: the code of each
        command, and the last 1000 values in Out (--Limits.out_bytes of `start` bounds their size).
    """

    def work(self) -> int:
        """Ask the controller, and print its answer."""
        fleet = find_fleet(self.given_name())
        from kernelfleet.client import access
        from kernelfleet.client.client import MultiEngineClient

        with MultiEngineClient(fleet.name) as mec:
            while True:
                refused = access.refused_peers(mec, ASK_SECONDS)
                self._show(fleet, mec.engines(cpu=True), refused)
                if not self.watch:
                    return EXIT_OK
                sys.stdout.flush()
                time.sleep(self.interval)

    def _show(
        self, fleet: connection_file.FleetFile, engines: EngineList, refused: dict[str, int]
    ) -> None:
        if self.json:
            facts = [asdict(engine) for engine in engines]
            indent = None if self.watch else 2
            _print_json(indent, fleet=fleet_facts(fleet), engines=facts, refused=refused)
            return
        if self.watch:
            print(WIPE if sys.stdout.isatty() else "", end="")
        print(_head(fleet))
        shown = tables.engine_table(engines)
        print_table(shown.columns, shown.rows)
        if any(refused.values()):
            print(refusals(refused))
        if self.watch:
            print()


class ListFleets(Report):
    """``kernelfleet list``."""

    name = "kernelfleet-list"
    aliases = {"name": "ListFleets.fleet_name", **Report.aliases}
    usage = "kernelfleet list [NAME] [--json]"
    description = """
        List the running fleets of this user, or the one called NAME: daemons, and those that
        notebooks and programs have started, which end with their owner.
    """

    def work(self) -> int:
        """Read the connection files, and print the fleets."""
        name = self.given_name()
        running = connection_file.find_fleets() if name is None else [find_fleet(name)]
        fleets = [
            {**fleet_facts(fleet), **count}
            for fleet, count in zip(running, count_engines(running), strict=True)
        ]
        if self.json:
            _print_json(fleets=fleets)
        elif fleets:
            columns = ("fleet", "engines", "owner", "pid", "up", "TCP", "connection file")
            print_table(columns, map(fleet_cells, fleets))
        else:
            print("No fleet is running; `kernelfleet start -n 4` starts one.")
        return EXIT_OK


def fleet_facts(fleet: connection_file.FleetFile) -> dict[str, Any]:
    """What a connection file says about a fleet, without its key."""
    return {
        "name": fleet.name,
        "pid": fleet.pid,
        "host": fleet.host,
        "started": fleet.started,
        "tcp": fleet.tcp,
        "connection_file": str(fleet.path),
        "embedded": fleet.embedded,
        "owner": fleet.owner,
        "owner_path": fleet.owner_path,
        "cluster": fleet.cluster,
    }


def fleet_cells(facts: dict[str, Any]) -> tuple[str, ...]:
    """The cells of one fleet in the table of ``list``."""
    up = tables.since(facts["started"])
    engines = "no answer" if facts["engines"] is None else str(facts["engines"])
    if facts["dead"]:
        engines += f" ({facts['dead']} dead)"
    return (
        facts["name"],
        engines,
        facts["owner_path"] or facts["owner"],
        str(facts["pid"]),
        up,
        (facts["tcp"] or "-").removeprefix("tcp://"),
        facts["connection_file"],
    )


def count_engines(fleets: Sequence[connection_file.FleetFile]) -> list[dict[str, int | None]]:
    """The numbers of living and of dead engines of each fleet; None if it does not answer.

    All fleets are asked at the same time, so that one that does not answer delays no other.
    """
    if not fleets:
        return []
    from kernelfleet.client.client import MultiEngineClient

    def count(fleet: connection_file.FleetFile) -> dict[str, int | None]:
        try:
            with MultiEngineClient(fleet.name) as mec:
                dead = [engine.state == "dead" for engine in mec.engines()]
        except (errors.FleetError, OSError, ValueError):  # (or its answer makes no sense)
            return {"engines": None, "dead": None}
        return {"engines": len(dead) - sum(dead), "dead": sum(dead)}

    with ThreadPoolExecutor(len(fleets)) as pool:
        return list(pool.map(count, fleets))


def refusals(counts: dict[str, int]) -> str:
    """In words, how many unauthenticated connections and messages were refused."""
    said = [f"{n} {kind if n != 1 else kind[:-1]}" for kind, n in counts.items() if n]
    return f"Refused so far: {', '.join(said)} without the keys of this fleet."


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table that is easy to read, and easy to cut into its columns in a pipe."""
    from rich import box  # (imported late, because --help does not need it)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    # Lines are not wrapped, so that a path can be copied.
    Console(highlight=False, width=1000).print(table)


def _head(fleet: connection_file.FleetFile) -> str:
    up = tables.since(fleet.started)
    tcp = f", {fleet.tcp}" if fleet.tcp else ""
    pid = f"in {owner_text(fleet)}" if fleet.embedded else f"controller pid {fleet.pid}"
    return f"Fleet {fleet.name!r}: {pid}, up {up}{tcp}"


def _print_json(indent: int | None = 2, **facts: Any) -> None:
    print(json.dumps({"version": JSON_VERSION, **facts}, indent=indent, default=str))
