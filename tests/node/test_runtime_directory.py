"""runtime_directory.py: a node's files are its own, and those of a killed one are removed."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from kernelfleet.node.runtime_directory import private_runtime_directory, remove_stale
from kernelfleet.wire.files.fleet_directory import FleetDirectory


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "before")
    return tmp_path


def test_a_node_has_a_fresh_directory_that_is_gone_with_it(parent: Path) -> None:
    with private_runtime_directory() as path:
        assert path.parent == parent
        assert os.environ["JUPYTER_RUNTIME_DIR"] == str(path)
        assert path.stat().st_mode & 0o077 == 0
    assert list(parent.iterdir()) == []


def test_what_a_killed_node_has_left_is_removed_and_what_is_used_is_not(parent: Path) -> None:
    later = time.time() + 100
    (parent / "kfn-dead" / "kernelfleet" / "x").mkdir(parents=True)
    (parent / "other").mkdir()
    with private_runtime_directory() as used:
        directory = FleetDirectory("node-1")
        try:
            assert remove_stale(parent, later) == [parent / "kfn-dead"]
        finally:
            directory.remove()
        assert remove_stale(parent, later) == [used]
    assert [path.name for path in parent.iterdir()] == ["other"]


def test_what_is_young_may_belong_to_a_node_that_is_starting(parent: Path) -> None:
    (parent / "kfn-new").mkdir()
    assert remove_stale(parent, time.time() - 60) == []
