"""The interface is held over all transports: over TCP in the slow run, beside the journeys."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        callspec = getattr(item, "callspec", None)
        if item.path.parent == here and callspec and callspec.params.get("transport") == "tcp":
            item.add_marker(pytest.mark.slow)
