"""The page of ``kernelfleet top``. tests/journeys/test_steering.py presses its keys."""

from __future__ import annotations

from kernelfleet import EngineInfo, EngineList, Timeline
from kernelfleet.cli.commands.top import scrolled, styled
from kernelfleet.client.watching import Look
from kernelfleet.wire.files.connection_file import FleetFile

FLEET = FleetFile(name="sweep", pid=1, host="here", started=0.0, key="")
LOOK = Look(
    EngineList([EngineInfo(id=0, state="busy"), EngineInfo(id=1, state="dead")]),
    Timeline([], [0, 1]), 0.0, 60.0,
)  # fmt: skip


def test_a_page_fills_the_terminal_and_names_its_keys() -> None:
    text = styled(FLEET, LOOK, 80, 12, 0, paused=False)
    lines = text.plain.split("\n")
    assert len(lines) == 12
    assert lines[0].startswith("Fleet 'sweep', up ")
    assert lines[-1] == "q quit   p pause   arrows scroll"
    assert styled(FLEET, LOOK, 80, 12, 0, paused=True).plain.endswith("(paused)")


def test_states_are_words_that_have_a_colour_as_well() -> None:
    text = styled(FLEET, LOOK, 80, 12, 0, paused=False)
    coloured = {text.plain[s.start : s.end]: str(s.style) for s in text.spans}
    assert (coloured["busy"], coloured["dead"]) == ("green", "bold red")


def test_arrows_scroll_within_the_engines() -> None:
    assert scrolled(0, "down", 30, 100) == 1
    assert scrolled(0, "up", 30, 100) == 0
    assert scrolled(5, "page down", 30, 100) == 25
    assert scrolled(5, "end", 30, 100) == 99
    assert scrolled(5, "x", 30, 100) == scrolled(5, None, 30, 100) == 5
