"""A client without a fleet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernelfleet import MultiEngineClient
from tests.client.scripted import ScriptedController, scripted_client


@pytest.fixture
def scripted() -> Iterator[tuple[MultiEngineClient, ScriptedController]]:
    """A client, and the controller that the test plays."""
    with scripted_client() as both:
        yield both
