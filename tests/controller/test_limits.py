"""What a fleet sets its clients, and descriptors for many engines."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable

import pytest

from kernelfleet import Fleet
from kernelfleet.controller.limits import (
    DESCRIPTORS_PER_ENGINE,
    Limits,
    allow_engines,
    limit_names,
    make_limits,
    meaning,
)
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


def test_every_limit_has_a_default_a_help_text_and_can_be_configured() -> None:
    limits = Limits()
    for name, trait in Limits.class_own_traits().items():
        assert trait.metadata["config"]
        assert len(str(trait.help)) > 10
        default = getattr(limits, name)
        assert default is None if name == "out_bytes" else default > 0  # that is IPython's affair
    assert limits.unread_bytes is not None
    assert limits.unread_bytes > limits.credit_bytes


def test_limits_are_made_from_names_and_values() -> None:
    limits = make_limits({"queue_length": 10, "message_bytes": None})
    assert (limits.queue_length, limits.message_bytes) == (10, None)
    assert limits.result_count == 1000


@pytest.mark.parametrize("make", [make_limits, lambda limits: Fleet(1, limits=limits)])
def test_a_wrong_limit_is_told_with_those_there_are(make: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match=r"no limit 'queue_lenght'; there are .*queue_length"):
        make({"queue_lenght": 10})
    assert "queue_length" in limit_names()
    for bad in ("many", 0, -1, 1.5):
        with pytest.raises(ValueError, match="the limit queue_length cannot be"):
            make({"queue_length": bad})
    with pytest.raises(ValueError, match="the limit credit_bytes cannot be None"):
        make({"credit_bytes": None})


def test_the_words_of_a_process_that_could_not_start_are_explained() -> None:
    assert "ulimit -u" in meaning("RuntimeError: can't start new thread")
    assert "ulimit -u" in meaning("[Errno 11] Resource temporarily unavailable")
    assert "ulimit -n" in meaning("OSError: [Errno 24] Too many open files: 'x'")
    assert "disk is full" in meaning("OSError: [Errno 28] No space left on device")
    assert meaning("ValueError: 3") == ""
