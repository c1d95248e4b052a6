"""part.py: the ranks of a node, whose launcher somebody else has started."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from kernelfleet.provisioners.mpi import part as module
from kernelfleet.provisioners.mpi.command import command_on_hosts
from kernelfleet.provisioners.mpi.launcher import LauncherRun
from kernelfleet.provisioners.mpi.part import PartOfWorld
from kernelfleet.provisioners.mpi.ranks import WorldError
from kernelfleet.provisioners.mpi.verdict import Verdict
from tests.fleets import until
from tests.provisioners.mpi.launching import MPIEXEC
from tests.provisioners.mpi.worlds import MODULE

Run = Callable[[Coroutine[Any, Any, None]], None]


def no_words() -> str:
    return ""


def test_a_rank_has_the_environment_of_its_node_and_what_the_launcher_has_added(
    folder: Path, run: Run
) -> None:
    async def trial() -> None:
        (folder / "of_a_rank.py").write_text(MODULE)
        told: list[dict[str, Any]] = []
        foreign = {**os.environ, "FOREIGN": "1", "OMPI_MCA_btl": "self"}
        foreign["PYTHONPATH"] = str(folder)
        part = PartOfWorld(1, folder / "s", foreign, told.append)
        argv = command_on_hosts(1, MPIEXEC, {}, sys.executable, folder / "s")
        launcher = LauncherRun(argv, foreign, str(folder), folder / "log")
        log = os.open(folder / "log-0", os.O_WRONLY | os.O_CREAT)
        env = {**os.environ, "PYTHONPATH": str(folder), "MINE": "1"}
        argv = [sys.executable, "-m", "of_a_rank", "argument"]
        process = await part.launch(0, argv, env, str(folder), log)
        os.close(log)
        await until((folder / "said-0").exists)
        names = (folder / "said-0").read_text()
        assert "'MINE'" in names
        assert "'FROM_LAUNCHER'" in names
        assert "'OMPI_MCA_btl'" in names
        assert "'FOREIGN'" not in names
        (folder / "do-0").write_text("os._exit(3)")
        await until(lambda: bool(told) and "ended" in told[-1])
        assert told == [
            {"of": 0, "rank": 0, "size": 1},
            {"of": 0, "kernel": process.pid},
            {"of": 0, "ended": 3, "told": False},
        ]
        part.judge(Verdict(5, code=-9))
        assert await part.verdict(no_words) == Verdict(5, code=-9)
        await part.close()
        await launcher.close()
        assert launcher.code is not None

    run(trial())


def test_nobody_waits_for_a_head_that_says_nothing_or_for_a_rank_of_a_world_that_has_ended(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "VERDICT_SECONDS", 0.05)

    async def trial() -> None:
        part = PartOfWorld(1, folder / "s", (), print)
        with pytest.raises(OSError, match="in use"):
            PartOfWorld(1, folder / "s", (), print)
        assert (await part.verdict(no_words)).rank is None
        waiting = asyncio.create_task(part.launch(0, [], {}, None, 0))
        part.judge(Verdict(None, "the node b is lost"))
        with pytest.raises(WorldError, match="its MPI world has ended"):
            await waiting
        await part.close()

    run(trial())
