"""restarting.py: a dead engine is started again as its policy allows, and clients are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from kernelfleet.controller.lifecycle.restart_policy import RestartPolicy
from kernelfleet.controller.lifecycle.restarting import DeadEngine, restart_by_policy
from kernelfleet.errors import StartError

LOG = logging.getLogger("tests.restarting")


def story(
    failures: int, *, limit: int = 3, is_dead: Callable[[], bool] = lambda: True
) -> list[str]:
    """What is told and done for an engine whose first starts fail."""
    said: list[str] = []

    async def restart() -> None:
        said.append("restart")
        if said.count("restart") <= failures:
            raise StartError("no")

    engine = DeadEngine("0", is_dead=is_dead, restart=restart, tell=said.append)
    policy = RestartPolicy(limit=limit)
    asyncio.run(asyncio.wait_for(restart_by_policy(policy, engine, LOG), 20))
    return said


AGAIN = "it is being started again"


def test_an_engine_is_started_again() -> None:
    assert story(failures=0) == [AGAIN, "restart"]


def test_a_start_that_fails_is_tried_again_until_it_is_too_often() -> None:
    assert story(failures=1) == [AGAIN, "restart", AGAIN, "restart"]
    end = "it was restarted too often and is left dead"
    assert story(failures=9, limit=2) == [AGAIN, "restart", AGAIN, "restart", end]


def test_one_that_somebody_else_has_started_is_left_alone() -> None:
    assert story(failures=0, is_dead=lambda: False) == [AGAIN]
