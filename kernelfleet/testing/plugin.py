"""The fixtures ``fleet`` and ``mec``: engines that are started once for a run of pytest.

::

    def test_sums(mec):
        mec.push({"x": 2})
        assert mec.execute("x + engine_id").values() == [2, 3]

Nothing of the client is imported before a test asks for one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kernelfleet.client.client import MultiEngineClient
    from kernelfleet.client.fleet import Fleet

#: The option in pytest's configuration that says how many engines there are.
ENGINES = "fleet_engines"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the number of engines."""
    parser.addini(ENGINES, "How many engines the fixtures `fleet` and `mec` have.", default="2")


@pytest.fixture(scope="session")
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet for the whole run, which ends with it; ``fleet_engines`` says of how many engines."""
    from kernelfleet.client.fleet import Fleet

    fleet = Fleet(int(request.config.getini(ENGINES)))
    fleet.start()
    yield fleet
    fleet.stop()


@pytest.fixture
def mec(fleet: Fleet) -> Iterator[MultiEngineClient]:
    """A client of ``fleet`` whose engines are alive, idle and have empty namespaces."""
    client = fleet.client()
    dead = [engine.id for engine in client.engines() if engine.state == "dead"]
    if dead:
        client.restart(dead, block=True)
    client.clear_queue(block=True)
    client.interrupt(block=True)
    client.reset(block=True)
    yield client
    client.close()
