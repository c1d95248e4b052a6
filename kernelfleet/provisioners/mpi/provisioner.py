"""MpiProvisioner: a kernel that is one rank of a world, for jupyter_client.

The world is given in the configuration of the kernelspec; it starts with its first rank.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import Any as AnyTrait
from traitlets import Int

from kernelfleet.provisioners.mpi.ranks import RankProcess, Ranks
from kernelfleet.wire import process_tags


class MpiProvisioner(LocalProvisioner):
    """One rank of a world; see the module's docstring."""

    world: Ranks = AnyTrait()  # type: ignore[assignment]
    rank = Int()
    #: Called with the process id of the launcher.
    watch: Callable[[int], object] = AnyTrait()  # type: ignore[assignment]

    process: Any  # a RankProcess, which has the methods of Popen that are used

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the world if it has not begun, and have our rank become the kernel."""
        env, cwd = dict(kwargs.get("env") or os.environ), kwargs.get("cwd")
        self.world.start(process_tags.without_last(env), cwd, self.watch)
        cmd = [*cmd, f"--EngineApp.mpi_rank={self.rank}", f"--EngineApp.mpi_size={self.world.n}"]
        self.process = await self.world.launch(self.rank, cmd, env, cwd, kwargs["stdout"])
        self.pid = self.pgid = self.process.pid
        self.cwd = cwd
        return self.connection_info

    async def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        process: RankProcess | None = self.process
        if process is None:
            return 0
        if process.returncode is None and process.has_ended:
            await self.world.how_it_ended(self.rank)
        return process.poll()

    async def wait(self) -> int | None:
        """Wait until the process has ended, without the base class's polling every 0.1 s."""
        process: RankProcess | None = self.process
        if process is None:
            return None
        if not process.has_ended:
            loop = asyncio.get_running_loop()
            ended = asyncio.Event()
            fd = process.dup_pidfd()
            loop.add_reader(fd, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(fd)
                os.close(fd)
        code = await self.poll()
        self.process = None
        return code
