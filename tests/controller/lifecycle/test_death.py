"""death.py: engines that died are started again together, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet.controller.engines.state import EngineState
from kernelfleet.controller.lifecycle import restart_policy
from kernelfleet.controller.lifecycle.death import Death, find_out, start_again
from kernelfleet.controller.lifecycle.restart_policy import RestartPolicy
from kernelfleet.errors.tree import StartError


def dead(engine_id: int) -> Any:
    return SimpleNamespace(
        id=engine_id, death="it died", state=EngineState.DEAD, restart_policy=RestartPolicy()
    )


class Registry:
    """Starts engines, after some failures."""

    def __init__(self, engines: Sequence[Any], failures: int = 0) -> None:
        self.engines = {each.id: each for each in engines}
        self.started: list[list[int]] = []
        self.failures = failures
        self.said: list[str] = []

    async def restart(self, engines: Sequence[Any]) -> None:
        self.started.append([each.id for each in engines])
        if len(self.started) <= self.failures:
            raise StartError("not this time")

    def changed(self) -> None:
        self.said.append(self.engines[1].death)


def start(registry: Registry, engines: Sequence[Any]) -> None:
    log = logging.Logger("silent")
    asyncio.run(start_again(engines, registry, registry.changed, log))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart_policy, "FIRST_PAUSE", 0.0)


def test_all_ranks_of_a_world_are_started_at_once_and_each_says_so() -> None:
    engines = [dead(0), dead(1)]
    registry = Registry(engines, failures=2)
    start(registry, engines)
    assert registry.started == [[0, 1]] * 3
    assert registry.said == ["it died; it is being started again"] * 3


def test_too_many_failures_leave_all_of_them_dead() -> None:
    engines = [dead(0), dead(1)]
    registry = Registry(engines, failures=99)
    start(registry, engines)
    assert len(registry.started) == restart_policy.LIMIT
    assert [each.death for each in engines] == [
        "it died; it was restarted too often and is left dead"
    ] * 2


@pytest.mark.parametrize("what", ["started", "removed"])
def test_whoever_was_started_or_removed_meanwhile_is_left_alone(what: str) -> None:
    engines = [dead(0), dead(1)]
    registry = Registry(engines)
    if what == "started":
        engines[0].state = EngineState.UP
    else:
        del registry.engines[0]
    start(registry, engines)
    assert registry.started == []


@pytest.mark.parametrize(
    ("code", "death"),
    [
        (-11, Death("killed by signal 11 (SIGSEGV)", None, 11)),
        (3, Death("its process ended with exit code 3", 3, None)),
        (None, Death("its process is gone", None, None)),
    ],
)
def test_how_a_process_has_ended_is_said_in_words(
    code: int | None, death: Death, tmp_path: Path
) -> None:
    async def reap(_: Any) -> int | None:
        return code

    launcher: Any = SimpleNamespace(reap=reap)
    incarnation: Any = SimpleNamespace(engine_id=0, provisioner=None)
    assert asyncio.run(find_out(launcher, incarnation, tmp_path)) == death
    (tmp_path / "engine-0.log").write_text("Fatal Python error: Segmentation fault\n")
    told = asyncio.run(find_out(launcher, incarnation, tmp_path)).cause
    assert told == f"{death.cause}; the traceback of the crash is in its log in {tmp_path}"
