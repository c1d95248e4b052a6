"""The names of fleets and the directories that belong to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernelfleet.wire.files import fleet_paths
from tests.wire.files.fleets import mode

pytestmark = pytest.mark.usefixtures("runtime")


@pytest.mark.parametrize("name", ["default", "a", "A-1_b.c", "x" * 64, "7"])
def test_a_good_name_is_given_back(name: str) -> None:
    assert fleet_paths.check_name(name) == name


@pytest.mark.parametrize("place", ["kernelfleet", "kernelfleet/logs", "kernelfleet/logs/one"])
def test_a_link_in_the_place_of_the_logs_is_refused(
    runtime: Path, tmp_path: Path, place: str
) -> None:
    link = runtime.parent / "data" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="is a link"):
        fleet_paths.make_log_dir("one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_directories_of_logs_are_private_whatever_the_umask(runtime: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = fleet_paths.make_log_dir("one")
    finally:
        os.umask(before)
    assert {mode(each) for each in (path, path.parent, path.parent.parent)} == {0o700}
    assert path.is_relative_to(runtime.parent)
