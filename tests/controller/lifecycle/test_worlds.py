"""worlds.py: what engines that are ranks of a world are told of its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet.controller.lifecycle.worlds import Worlds, cause_of_death, world_of
from kernelfleet.controller.processes.nanny import Nanny
from kernelfleet.provisioners.mpi.verdict import Verdict
from kernelfleet.provisioners.mpi.world import World

AGAIN = "; mec.restart('all') brings a new world"


def cause(verdict: Verdict, rank: int, logs: Path) -> tuple[str, int | None, int | None]:
    """What rank of a world that has ended so is told, which was itself killed."""

    async def judge(words: Callable[[], str]) -> Verdict:
        return verdict

    world: Any = SimpleNamespace(n=4, verdict=judge)
    return asyncio.run(cause_of_death(world, logs, rank, "killed by signal 11", None, 11))


@pytest.mark.parametrize(
    ("verdict", "rank", "expected"),
    [
        (
            Verdict(2, code=-11),
            2,
            ("killed by signal 11, and with it the MPI world" + AGAIN, None, 11),
        ),
        (
            Verdict(2, code=-11),
            0,
            ("rank 2 took the MPI world along (killed by signal 11 (SIGSEGV))" + AGAIN, None, None),
        ),
        (
            Verdict(2, code=3),
            0,
            (
                "rank 2 took the MPI world along (its process ended with exit code 3)" + AGAIN,
                None,
                None,
            ),
        ),
        (
            Verdict(1, "it called MPI_Abort(7)"),
            1,
            ("it called MPI_Abort(7), and with it the MPI world" + AGAIN, None, 11),
        ),
        (
            Verdict(None, "the MPI launcher has ended"),
            1,
            ("the MPI launcher has ended, and with it the MPI world" + AGAIN, None, None),
        ),
    ],
)
def test_each_rank_is_told_who_has_ended_the_world(
    verdict: Verdict, rank: int, expected: tuple[Any, ...], tmp_path: Path
) -> None:
    assert cause(verdict, rank, tmp_path) == expected


def test_what_a_rank_has_written_in_its_present_life_is_looked_at(tmp_path: Path) -> None:
    log = "--- engine 1 started a\nold\n--- engine 1 started b\nAbort(7)\n"
    (tmp_path / "engine-1.log").write_text(log)
    seen: list[str] = []

    async def judge(words: Callable[[], str]) -> Verdict:
        seen.append(words())
        return Verdict(None, "x")

    world: Any = SimpleNamespace(n=2, verdict=judge)
    asyncio.run(cause_of_death(world, tmp_path, 0, "", None, None))
    assert seen == ["\nAbort(7)\n"]


def test_each_start_of_all_is_a_world_of_its_own_and_the_last_one_is_closed(
    tmp_path: Path,
) -> None:
    async def trial() -> None:
        worlds = Worlds(None, tmp_path, tmp_path, Nanny())
        worlds.begin(2)
        first = worlds.provisioner(0)["config"]["world"]
        worlds.begin(2)
        config = worlds.provisioner(1)["config"]
        assert (config["rank"], config["world"].n) == (1, 2)
        assert config["world"] is not first
        assert isinstance(first, World)
        assert world_of(SimpleNamespace(world=first)) is first
        assert world_of(SimpleNamespace()) is None
        await worlds.end()
        await worlds.end()

    asyncio.run(trial())
