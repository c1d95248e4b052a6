"""``kernelfleet top``: what the engines of a running fleet do, live."""

from __future__ import annotations

import re
import shutil
import sys
from typing import TYPE_CHECKING

from traitlets import Bool, Float

from kernelfleet.cli.exits import EXIT_NOT_RUNNING, EXIT_OK
from kernelfleet.cli.keys import Keys
from kernelfleet.cli.naming import NamedCommand, find_fleet
from kernelfleet.display import overview, tables
from kernelfleet.errors.tree import FleetError

if TYPE_CHECKING:
    from rich.text import Text

    from kernelfleet.client.watching import Look, Watch
    from kernelfleet.wire.files.connection_file import FleetFile

#: How states and failures look; a word or a sign says the same.
STYLES = {
    r"(?m)^\d+ +(busy)\b": "green",
    r"(?m)^\d+ +(dead|stopped|stopping)\b": "bold red",
    r"(?m)^\d+ +(starting|leaving)\b": "yellow",
    r"(?m)^(engine .*)$": "bold",
    r"\A([^:\n]*)": "bold cyan",
}
FOOT = "q quit   p pause   arrows scroll"


class Top(NamedCommand):
    """``kernelfleet top``."""

    name = "kernelfleet-top"
    usage = "kernelfleet top [NAME] [options]"
    description = """
        Watch a running fleet: state, processor, memory and queue of each engine, what it runs and
        for how long, and what it worked on in the last minute, a letter for each call. Keys: q
        quits, p pauses, arrows and Page Up/Down scroll.

        Where no terminal is, it prints what there is once. Without NAME: the fleet named `default`,
        else the only one running.
    """

    interval = Float(1.0, min=0.1, help="Seconds between two looks (1).").tag(config=True)
    seconds = Float(60.0, min=1, help="How much of the past is shown, in seconds (60).").tag(
        config=True
    )
    once = Bool(False, help="Print it once.").tag(config=True)
    aliases = {
        "name": "Top.fleet_name", "interval": "Top.interval", "seconds": "Top.seconds",
        **NamedCommand.aliases,
    }  # fmt: skip
    flags = {"once": ({"Top": {"once": True}}, "Print it once."), **NamedCommand.flags}

    def work(self) -> int:
        """Show the fleet until q is pressed, or it has ended."""
        fleet = find_fleet(self.given_name())
        from kernelfleet.client.client import MultiEngineClient
        from kernelfleet.client.usage import CPU_SECONDS
        from kernelfleet.client.watching import Watch

        with MultiEngineClient(fleet.name) as mec:
            watch = Watch(mec, self.seconds)
            if not self.once and sys.stdout.isatty():
                return self._live(fleet, watch)
            watch.look()
            with Keys(None) as nobody:
                nobody.wait(CPU_SECONDS)
            width = shutil.get_terminal_size((120, 50)).columns
            print("\n".join(overview.page(head_of(fleet), watch.look(), width)))
            return EXIT_OK

    def _live(self, fleet: FleetFile, watch: Watch) -> int:
        from rich.console import Console
        from rich.live import Live

        console = Console(highlight=False)
        first, paused = 0, False
        try:
            look = watch.look()
            with (
                Keys(sys.stdin) as keys,
                Live(console=console, screen=True, auto_refresh=False) as live,
            ):
                while True:
                    size = console.size
                    shown = styled(fleet, look, size.width, size.height, first, paused=paused)
                    live.update(shown, refresh=True)
                    key = keys.wait(self.interval)
                    if key in ("q", "Q"):
                        return EXIT_OK
                    paused ^= key == "p"
                    first = scrolled(first, key, size.height, len(look.engines))
                    if not paused and key is None:
                        look = watch.look()
        except FleetError as error:
            print(f"Fleet {fleet.name!r} is not there any more: {error}")
            return EXIT_NOT_RUNNING


def head_of(fleet: FleetFile) -> str:
    """What a fleet is called, and since when it runs."""
    return f"Fleet {fleet.name!r}, up {tables.since(fleet.started)}"


def styled(
    fleet: FleetFile, look: Look, width: int, height: int, first: int, *, paused: bool
) -> Text:
    """A page with colours, and the keys at its foot."""
    from rich.text import Text

    lines = overview.page(head_of(fleet), look, width, height - 1, first)
    text = Text("\n".join(lines), no_wrap=True, overflow="crop")
    for pattern, style in STYLES.items():
        for match in re.finditer(pattern, text.plain):
            text.stylize(style, *match.span(1))
    foot = f"{FOOT}{'   (paused)' if paused else ''}"
    text.append("\n" * (height - len(lines) - 1) + "\n" + foot[:width], style="dim")
    return text


def scrolled(first: int, key: str | None, height: int, count: int) -> int:
    """The engine that is shown first after a key was pressed, by its position."""
    page = max(1, height - 10)
    step = {"up": -1, "down": 1, "page up": -page, "page down": page, "home": -count, "end": count}
    return max(0, min(first + step.get(key or "", 0), max(0, count - 1)))
