"""The settings that all clients of a process share."""

from __future__ import annotations

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.client.settings import Settings, settings


@pytest.fixture
def transport() -> str:
    return "embedded"


def test_progress_and_live_output_are_shown_unless_somebody_says_otherwise() -> None:
    assert Settings() == Settings(progress=True, live=True) == settings


def test_a_client_that_says_nothing_of_progress_follows_the_setting(
    mec: MultiEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "progress", False)
    assert mec.view(0).progress is False
    view = mec.view(0)
    view.progress = True
    assert view.progress is True
