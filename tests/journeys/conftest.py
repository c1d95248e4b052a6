"""A fleet of its own for each whole-system run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.journeys.daemons import OwnFleet


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
