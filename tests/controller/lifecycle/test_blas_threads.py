"""Engines share the cores, unless the user has said otherwise."""

from __future__ import annotations

import os

import pytest

from kernelfleet.controller.lifecycle.blas_threads import (
    THREAD_VARIABLES,
    thread_environment,
)


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
    assert thread_environment(4, {name: None}) == {}
