"""A fleet of its own for each whole-system run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.daemons import OwnFleet

#: Journeys that run over TCP by default, too; the others do so in the slow run, and so does
#: tests/conformance, which holds the interface over every transport.
ALWAYS_OVER_TCP = {"test_seeds.py", "test_unreachable.py"}
#: Journeys whose embedded form is left to the slow run as well.
OVER_THE_SOCKET = {"test_many.py", "test_limits.py"}


#: Journeys of the long run: beginnings of their names, from the file on, and what is in brackets.
LONG: dict[str, tuple[str, ...]] = {
    "test_engine_frozen.py::test_a_whole_minute": ("",),
    "test_fuzzed_daemon.py": ("",),
    "test_names.py::test_of_two_fleets_that_race": ("",),
    "test_connection_cut.py::test_with_a_second_of_delay": ("",),
    "test_connection_cut.py::test_whatever_the_network_does": ("",),
    "test_connection_cut.py::test_a_large_message_on_a_slow_network": ("down]",),
    "test_connection_cut.py::test_a_longer_outage": ("frozen]", "black]"),
    "test_client_killed.py::test_maps_and_executor_tasks_end_with": ("executor]",),
    "test_engine_families.py::test_a_family_ends_with_its_engine": ("ordinary",),
    "test_map.py::test_leaving_a_lazy_map": ("unix",),
    "test_engine_misbehaves.py::test_a_flood_of_output": ("embedded", "tcp", "unix-300"),
    "test_forked_client.py": ("embedded", "unix-os.fork"),
    "test_controller_away.py::test_a_controller_that_was_stopped": ("tcp",),
    "test_controller_frozen.py::test_timeouts_hold": ("tcp",),
    "test_controller_killed.py::test_clients_are_told": ("looping", "sleeping-tcp"),
    "test_controller_killed.py::test_engines_end_with_their": ("SIGQUIT", "SIGHUP", "SIGABRT"),
    "test_controller_killed.py::test_nothing_is_left_of_a_fleet_whose": ("SIGINT", "SIGTERM"),
}


def is_long(nodeid: str) -> bool:
    """Whether a journey is part of the long run only."""
    name, _, manner = nodeid.rpartition("/")[2].partition("[")
    return any(
        name.startswith(beginning) and any(manner.startswith(each) for each in manners)
        for beginning, manners in LONG.items()
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here and is_long(item.nodeid):
            item.add_marker(pytest.mark.long)
        if item.path.parent != here or item.path.name in ALWAYS_OVER_TCP:
            continue
        callspec = getattr(item, "callspec", None)
        transport = None if callspec is None else callspec.params.get("transport")
        if transport == "tcp" or (transport == "embedded" and item.path.name in OVER_THE_SOCKET):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def own_fleet(request: pytest.FixtureRequest) -> Iterator[Callable[..., OwnFleet]]:
    """Start fleets that the test may break, over its ``transport`` if it has one."""
    started: list[OwnFleet] = []

    def start(n: int = 2, **options: object) -> OwnFleet:
        if "transport" not in options:
            wanted = "transport" in request.fixturenames
            options["transport"] = request.getfixturevalue("transport") if wanted else "unix"
        started.append(OwnFleet(n=n, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for fleet in started:
        fleet.clean_up()
