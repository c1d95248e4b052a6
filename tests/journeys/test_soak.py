"""Nothing grows with use. The long form: see "Long runs" in docs/reliability.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.journeys import soak_phases as phases
from tests.journeys.daemons import OwnFleet
from tests.journeys.leftovers import assert_nothing_left, take_stock
from tests.journeys.soak import OBJECTS_ANYWAY, TOLERANCE, Plan, problems, rise, run, table
from tests.journeys.soak_measure import grown, look_at, look_inside
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

SHORT = [
    Plan("daemon", "unix", SOME),
    Plan("embedded", "embedded", FEWER, rounds=2, options=FEW_SPANS),
    Plan("changing", "unix", SOME_CHANGES, rounds=2, options=REVIVED),
]


@pytest.mark.parametrize("plan", SHORT, ids=lambda plan: plan.name)
def test_use_leaves_nothing_behind(plan: Plan, tmp_path: Path) -> None:
    soak(plan, tmp_path)


@pytest.mark.slow
def test_use_of_two_nodes_leaves_nothing_behind_on_either(tmp_path: Path) -> None:
    soak(Plan("two nodes", "nodes", FEWER, rounds=2), tmp_path)


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
    Plan("two nodes", "nodes", HALF, seconds=minutes(0.15)),
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
    more = grown(start.objects, end.objects)
    assert end.n_objects - start.n_objects < 10 * n + OBJECTS_ANYWAY, more


def test_the_rise_is_that_of_the_line_through_the_points() -> None:
    assert rise([0, 10, 20], [5, 5, 5]) == 0
    assert rise([0, 10, 20], [100, 110, 120]) == pytest.approx(20)
    assert rise([7, 7], [1, 9]) == 0
