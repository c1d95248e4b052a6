"""provisioner.py: jupyter_client starts, watches and ends a kernel that is a rank of a world."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from kernelfleet.provisioners.mpi.provisioner import MpiProvisioner
from kernelfleet.provisioners.mpi.ranks import RankProcess
from kernelfleet.provisioners.mpi.world import World
from tests.provisioners.kernels import connect, evaluate, make
from tests.provisioners.mpi.launching import MPIEXEC

Run = Callable[[Coroutine[Any, Any, None]], None]


def test_a_kernel_is_a_rank_and_its_launcher_carries_nothing_of_it(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_point = EntryPoint(
        "a-rank", f"{MpiProvisioner.__module__}:{MpiProvisioner.__qualname__}", "provisioners"
    )
    monkeypatch.setitem(KernelProvisionerFactory.instance().provisioners, "a-rank", entry_point)

    async def trial() -> None:
        world = World(1, MPIEXEC, folder, folder / "log")
        watched: list[int] = []
        config = {"world": world, "rank": 0, "watch": watched.append}
        spec = KernelSpec(
            argv=[sys.executable, "-m", "kernelfleet.engine", "-f", "{connection_file}"],
            metadata={"kernel_provisioner": {"provisioner_name": "a-rank", "config": config}},
        )
        manager = make(folder, spec, transport="ipc")
        log = os.open(folder / "out", os.O_WRONLY | os.O_CREAT)
        environment = {**os.environ, "KERNELFLEET_ENGINE": "of this one"}
        await manager.start_kernel(env=environment, stdout=log, stderr=log)
        os.close(log)
        assert world.process is not None
        assert watched == [world.process.pid]
        assert "KERNELFLEET_ENGINE" not in psutil.Process(world.process.pid).environ()
        client = await connect(manager)
        asked = "__import__('os').environ['PMI_RANK'], __import__('os').getpid()"
        provisioner: Any = manager.provisioner
        assert isinstance(provisioner, MpiProvisioner)
        assert isinstance(provisioner.process, RankProcess)
        assert await evaluate(client, asked) == ("0", provisioner.pid)
        assert await manager.is_alive()
        client.stop_channels()
        waiting = asyncio.ensure_future(provisioner.wait())
        await manager.shutdown_kernel()
        await asyncio.wait([waiting])
        assert not await manager.is_alive()
        await world.close()
        assert world.process.returncode is not None

    run(trial())
