"""Worlds of tests: ranks that run small modules, so that neither MPI nor a kernel is needed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from kernelfleet.provisioners.mpi.ranks import RankProcess
from kernelfleet.provisioners.mpi.world import World
from tests.provisioners.mpi.launching import PLAIN

#: What a rank runs: says what it is, and does what the test has written into a file.
MODULE = """
import os, signal, sys, time
with open(f"said-{os.environ['PMI_RANK']}~", "w") as file:
    print(sorted(os.environ), os.getcwd(), sys.argv[1:], file=file)
os.rename(file.name, file.name[:-1])
print("hello", flush=True)
path = f"do-{os.environ['PMI_RANK']}"
while not os.path.exists(path):
    time.sleep(0.005)
exec(open(path).read())
"""


class Ranks:
    """A world whose ranks are in one folder."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.launchers: list[int] = []

    async def launch(self, rank: int, environment: Mapping[str, str] | None = None) -> RankProcess:
        env = {**os.environ, "PYTHONPATH": str(self.folder), **(environment or {})}
        self.world.start({**env, "OF_ALL": "1"}, str(self.folder), self.launchers.append)
        log = os.open(self.folder / f"log-{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            argv = [sys.executable, "-m", "of_a_rank", "argument"]
            return await self.world.launch(rank, argv, env, str(self.folder), log)
        finally:
            os.close(log)

    async def all(self) -> list[RankProcess]:
        return list(await asyncio.gather(*map(self.launch, range(self.world.n))))

    def do(self, rank: int, code: str) -> None:
        """Have a rank run some code and end."""
        (self.folder / f"{rank}~").write_text(code)
        (self.folder / f"{rank}~").rename(self.folder / f"do-{rank}")


@asynccontextmanager
async def ranks(folder: Path, n: int = 2, *options: str) -> AsyncIterator[Ranks]:
    """A world that is closed afterwards, its launcher with it."""
    (folder / "of_a_rank.py").write_text(MODULE)
    command = " ".join([PLAIN, *options, "-n", "{n}"])
    world = World(n, command, folder, folder / "log")
    try:
        yield Ranks(world, folder)
    finally:
        await world.close()
        assert world.process is None or world.process.returncode is not None
        assert not (folder / world._path.name).exists()
