"""How kernels are started: thread limits, kernelspecs, and what is told of those missing."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from kernelfleet.controller.launcher import (
    THREAD_VARIABLES,
    Launcher,
    thread_environment,
)
from kernelfleet.errors import StartError


@pytest.mark.parametrize(
    ("cores", "engines", "threads"), [(8, 1, 8), (8, 2, 4), (8, 3, 2), (2, 4, 1), (1, 64, 1)]
)
def test_engines_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, engines: int, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert thread_environment(engines, {}) == dict.fromkeys(THREAD_VARIABLES, str(threads))


@pytest.mark.parametrize("name", THREAD_VARIABLES)
def test_who_has_set_any_limit_keeps_his_own(name: str) -> None:
    assert thread_environment(4, {name: "3", "HOME": "/"}) == {}


def test_an_unknown_kernelspec_is_told_with_the_installed_ones(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path, tmp_path, b"key", logging.getLogger())
    with pytest.raises(StartError, match=r"'nonsense' is installed \(found: .*python3"):
        launcher.find_kernel("nonsense")
    assert launcher.find_kernel("python3").language == "python"
