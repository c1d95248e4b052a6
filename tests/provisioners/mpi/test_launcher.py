"""launcher.py: why a launcher starts no more ranks. Its end is held by test_world.py."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from kernelfleet.provisioners.mpi.launcher import LauncherRun
from tests.fleets import until


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "print('no hosts'); exit(3)",
            "ended with exit code 3 while starting; it has written:\nno",
        ),
        (
            "print('[1] kernelfleet: rank 1 was started on b, where\\nmore', flush=True); input()",
            "rank 1 was started on b, where",
        ),
    ],
)
def test_it_is_known_at_once_that_a_rank_does_not_come(tmp_path: Path, code: str, why: str) -> None:
    async def trial() -> None:
        waiting = f"import os, time; r, _ = os.pipe(); input = lambda: os.read(r, 1); {code}"
        argv = [sys.executable, "-c", waiting]
        run = LauncherRun(argv, os.environ, None, tmp_path / "log")
        await until(lambda: bool(run.has_failed))
        assert why in run.has_failed
        assert "more" not in run.has_failed
        run.process.kill()
        assert await run.ended(5)
        await run.close()

    asyncio.run(trial())
