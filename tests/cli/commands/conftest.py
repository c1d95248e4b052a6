"""A fleet without processes for tests of commands about a running fleet."""

from __future__ import annotations

import pytest

from kernelfleet.client import client as client_module
from tests.cli.commands.clients import Client


@pytest.fixture
def fleet_client(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client()
    monkeypatch.setattr(client_module, "MultiEngineClient", client)
    return client
