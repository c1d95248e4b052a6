"""A fleet of its own for each whole-system run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.daemons import OwnFleet

#: Journeys that run over TCP by default, too; the others do so in the slow run. The interface
#: itself is held over every transport by tests/conformance.
ALWAYS_OVER_TCP = {"test_seeds.py", "test_unreachable.py"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.parent != here or item.path.name in ALWAYS_OVER_TCP:
            continue
        callspec = getattr(item, "callspec", None)
        if callspec is not None and callspec.params.get("transport") == "tcp":
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
