"""Descriptors for many engines: the soft limit is raised as needed, or it is said clearly."""

from __future__ import annotations

import os
import resource

import pytest

from kernelfleet.controller.limits import DESCRIPTORS_PER_ENGINE, allow_engines
from kernelfleet.errors import StartError


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What the limit is; changes are appended."""
    limits = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    return limits


def test_a_few_engines_change_nothing(limit: list[tuple[int, int]]) -> None:
    allow_engines(16)
    assert limit == [(1024, 4096)]


def test_the_soft_limit_is_raised_no_further_than_needed(limit: list[tuple[int, int]]) -> None:
    allow_engines(256)
    soft, hard = limit[-1]
    assert 256 * DESCRIPTORS_PER_ENGINE < soft < 256 * DESCRIPTORS_PER_ENGINE + 1500
    assert hard == 4096


def test_the_hard_limit_is_told(limit: list[tuple[int, int]]) -> None:
    with pytest.raises(StartError, match=r"1000 engines .* allows 4096.*ulimit -Hn"):
        allow_engines(1000)
    assert limit == [(1024, 4096)]


def test_no_limit_is_no_limit(limit: list[tuple[int, int]]) -> None:
    limit[0] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    allow_engines(100_000)
    assert len(limit) == 1


def test_without_proc_a_guess_does(
    limit: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listdir", lambda _: (_ for _ in ()).throw(FileNotFoundError()))
    allow_engines(256)
    assert len(limit) == 2
