"""How kernels are started: kernelspecs, and what is told of those missing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kernelfleet.controller.launcher import Launcher
from kernelfleet.errors import StartError


def test_an_unknown_kernelspec_is_told_with_the_installed_ones(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path, tmp_path, b"key", logging.getLogger())
    with pytest.raises(StartError, match=r"'nonsense' is installed \(found: .*python3"):
        launcher.find_kernel("nonsense")
    assert launcher.find_kernel("python3").language == "python"
