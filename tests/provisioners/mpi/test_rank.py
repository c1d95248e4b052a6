"""rank.py: the keeper of a rank stays as long as it is needed, and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fleets import eventually, until
from tests.provisioners.mpi.worlds import ranks

Run = Callable[[Coroutine[Any, Any, None]], None]

#: A controller in a process of its own, which prints the pids of its ranks and their keepers.
CONTROLLER = """
import asyncio, sys
from pathlib import Path
import psutil
from tests.provisioners.mpi.worlds import ranks

async def main():
    async with ranks(Path(sys.argv[1])) as each:
        processes = await each.all()
        keepers = [psutil.Process(process.pid).ppid() for process in processes]
        print(*[process.pid for process in processes], *keepers, flush=True)
        await asyncio.sleep(100)

asyncio.run(main())
"""


def test_nothing_outlives_a_controller_that_was_killed(folder: Path) -> None:
    command = [sys.executable, "-c", CONTROLLER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as controller:
        assert controller.stdout is not None
        pids = list(map(int, controller.stdout.readline().split()))
        assert len(pids) == 4
        launcher = psutil.Process(controller.pid).children()
        controller.kill()
    eventually(lambda: not any(map(psutil.pid_exists, pids)))
    eventually(lambda: not any(process.is_running() for process in launcher))


def test_a_keeper_that_is_killed_takes_its_kernel_along(folder: Path, run: Run) -> None:
    async def trial() -> None:
        async with ranks(folder) as each:
            _, other = await each.all()
            os.kill(psutil.Process(other.pid).ppid(), signal.SIGKILL)
            await until(lambda: other.has_ended)
            assert other.poll() == 255
            assert not other.exit_code_known

    run(trial())


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGCONT])
def test_a_signal_to_the_keeper_does_the_kernel_no_harm(
    folder: Path, run: Run, signum: int
) -> None:
    async def trial() -> None:
        async with ranks(folder) as each:
            _, other = await each.all()
            os.kill(psutil.Process(other.pid).ppid(), signum)
            each.do(1, "os._exit(5)")
            await until(lambda: other.has_ended)
            await each.world.how_it_ended(1)
            assert other.poll() == 5

    run(trial())
