"""Nothing grows with use. The long form: see "Long runs" in docs/reliability.md."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.journeys import soak_phases as phases
from tests.journeys.daemons import OwnFleet
from tests.journeys.leftovers import assert_nothing_left, take_stock
from tests.journeys.soak import (
    BYTES_ANYWAY,
    OBJECTS_ANYWAY,
    ROUND,
    TOLERANCE,
    Course,
    Plan,
    problems,
    rise,
    run,
    table,
)
from tests.journeys.soak_measure import Reading, Stock, grown, look_at, look_inside
from tests.journeys.soak_phases import CHANGING, STEADY, Phase

#: How long the long form takes.
MINUTES = float(os.environ.get("KERNELFLEET_SOAK_MINUTES", "10"))


def soak(plan: Plan, folder: Path) -> None:
    course = run(plan, folder)
    print("\n" + table(course))
    found = problems(course)
    assert not found, "\n".join(found)


#: The operations of a short round. No killed clients: what they have not read stays for ten
#: seconds, which is longer than the rounds are.
SOME: dict[Phase, int] = {
    phases.clients: 4,
    phases.executes: 120,
    phases.bursts: 400,
    phases.failures: 20,
    phases.streams: 6,
    phases.pushes_and_pulls: 100,
    phases.scatters_and_gathers: 10,
    phases.maps: 8,
    phases.tasks: 60,
    phases.timeouts_and_interrupts: 4,
    phases.looks: 5,
}
FEWER = {phase: max(1, n // 2) for phase, n in SOME.items()}
SOME_CHANGES: dict[Phase, int] = {phases.restarts: 2, phases.deaths: 1, phases.scaling: 2}
#: The timeline keeps a number of spans, which a short round does not reach otherwise.
FEW_SPANS = {"limits": {"span_count": 20}}
REVIVED = {"restart": "on-death"}
#: What may remain of a fleet in the process that has started it: of each some 5 kB do.
FLEET_BYTES = 20_000

SHORT = [
    Plan("daemon", "unix", SOME, rounds=2),
    Plan("embedded", "embedded", FEWER, rounds=2, options=FEW_SPANS),
    Plan("changing", "unix", SOME_CHANGES, rounds=2, options=REVIVED),
]


@pytest.mark.parametrize("plan", SHORT, ids=lambda plan: plan.name)
def test_use_leaves_nothing_behind(plan: Plan, tmp_path: Path) -> None:
    soak(plan, tmp_path)


@pytest.mark.slow
def test_use_of_two_nodes_leaves_nothing_behind_on_either(tmp_path: Path) -> None:
    soak(Plan("two nodes", "nodes", FEWER, options=FEW_SPANS), tmp_path)


def minutes(share: float) -> float:
    return 60 * MINUTES * share


HALF = {phase: max(1, n // 2) for phase, n in STEADY.items()}
SPAWNED = {"fork": False}

LONG = [
    Plan("daemon, Unix socket", "unix", STEADY, seconds=minutes(0.3), each=True),
    Plan("daemon, TCP", "tcp", HALF, seconds=minutes(0.15)),
    Plan("embedded", "embedded", HALF, seconds=minutes(0.15), options=FEW_SPANS),
    Plan("daemon, frames instead of shared memory", "unix", HALF, seconds=minutes(0.1)),
    Plan("daemon, ordinary engines", "unix", HALF, seconds=minutes(0.1), options=SPAWNED),
    Plan("daemon, engines come and go", "unix", CHANGING, 5, minutes(0.1), options=REVIVED),
    Plan("two nodes", "nodes", HALF, seconds=minutes(0.15), options=FEW_SPANS),
    Plan("embedded, engines come and go", "embedded", CHANGING, 5, minutes(0.1), options=REVIVED),
]


@pytest.mark.soak
@pytest.mark.timeout(60 + 300 * MINUTES)
@pytest.mark.parametrize("plan", LONG, ids=lambda plan: plan.name)
def test_long_use_leaves_nothing_behind(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "frames" in plan.name:
        monkeypatch.setenv("KERNELFLEET_SHARED_MEMORY", "0")
    soak(plan, tmp_path)


@pytest.mark.parametrize(
    ("embedded", "daemons"),
    [
        pytest.param(6, 2, marks=pytest.mark.slow),
        pytest.param(30, 10, marks=pytest.mark.soak),
    ],
)
def test_fleets_one_after_the_other_leave_nothing_in_the_process_that_starts_them(
    embedded: int, daemons: int
) -> None:
    def live(transport: str) -> None:
        fleet = OwnFleet(transport, n=1)
        fleet.client().execute("1")
        fleet.clean_up()

    for transport in ("embedded", "unix", "embedded"):
        live(transport)
    start, before = look_at(os.getpid(), look_inside()), take_stock()
    for _ in range(embedded):
        live("embedded")
    for _ in range(daemons):
        live("unix")
    assert_nothing_left(before)
    end = look_at(os.getpid(), look_inside())
    n = embedded + daemons
    print(
        f"{embedded} embedded fleets and {daemons} daemons: RSS {end.rss_bytes / 1e6:.1f} MB, "
        f"{100 * (end.rss_bytes / start.rss_bytes - 1):+.1f} %; of each "
        f"{(end.used_bytes - start.used_bytes) / n:.0f} bytes, "
        f"{(end.n_objects - start.n_objects) / n:.1f} objects"
    )
    assert end.rss_bytes <= (1 + TOLERANCE) * start.rss_bytes
    assert end.used_bytes - start.used_bytes < FLEET_BYTES * n + BYTES_ANYWAY
    more = grown(start.objects, end.objects)
    assert end.n_objects - start.n_objects < 10 * n + OBJECTS_ANYWAY, more


def test_the_rise_is_that_of_the_line_through_the_points() -> None:
    assert rise([0, 10, 20], [5, 5, 5]) == 0
    assert rise([0, 10, 20], [100, 110, 120]) == pytest.approx(20)
    assert rise([7, 7], [1, 9]) == 0


# -- what a soak finds --------------------------------------------------------------------------


def reading(rss_mb: float = 48.0, used_mb: float = 20.0, n_objects: int = 40_000) -> Reading:
    return Reading(
        int(rss_mb * 1e6), int(rss_mb * 1e6), Counter(), 4, int(used_mb * 1e6), n_objects, Counter()
    )


def found_in(*readings: Reading) -> list[str]:
    """What is found in a node that was like this after each round of 370 operations."""
    course = Course(SHORT[0])
    for number, each in enumerate(readings, 1):
        course.done["executes"] = 370 * number
        course.add(ROUND, Stock({"node": each}, 0, 0))
    return problems(course)


def test_a_node_that_comes_to_rest_is_well() -> None:
    assert found_in(*(reading(rss, used) for rss, used in [(48, 20), (49, 20.2), (49, 20.2)])) == []


def test_what_is_left_of_each_operation_is_found_in_a_process_that_becomes_no_larger() -> None:
    (text,) = found_in(*(reading(48, 20 + round_ * 0.56) for round_ in range(4)))
    assert text == "daemon, after a round: node: 1514 bytes for each of 1110 operations"


def test_some_megabytes_more_after_each_round_are_found_in_a_process_that_cannot_say_why() -> None:
    (text,) = found_in(*(reading(48 + round_ * 2.8) for round_ in range(4)))
    assert text == "daemon, after a round: node: RSS +8.4 MB of 48.0"


def test_objects_that_are_left_are_found_however_small() -> None:
    (text,) = found_in(*(reading(n_objects=40_000 + round_ * 370) for round_ in range(4)))
    assert "node: 1.00 objects for each operation" in text


def test_a_process_that_has_not_looked_at_itself_is_not_taken_for_well() -> None:
    (text,) = found_in(reading(used_mb=0, n_objects=0), reading(used_mb=0, n_objects=0))
    assert text == "daemon, after a round: node has not looked at itself"
