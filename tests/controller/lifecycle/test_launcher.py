"""How kernels are started; most of it is held by tests/journeys."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from kernelfleet.controller.lifecycle.incarnation import EngineManager
from kernelfleet.controller.lifecycle.launcher import Launcher
from kernelfleet.controller.options import FleetOptions
from kernelfleet.errors import StartError


class WithItsOwnMind(LocalProvisioner):
    """Has the kernel listen on TCP, whatever was asked for; as those of other machines do."""

    started: list[int] = []  # noqa: RUF012

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        await super().launch_kernel(["sleep", "60"], **kwargs)
        assert self.process is not None
        self.started.append(self.process.pid)
        manager: Any = self.parent
        manager.transport = "tcp"
        return manager.get_connection_info()


def test_a_kernel_that_its_provisioner_lets_others_overhear_is_ended_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start() -> None:
        launcher = Launcher(tmp_path, tmp_path, b"key", logging.getLogger(), FleetOptions.of(1))
        manager = EngineManager(connection_file=str(tmp_path / "k.json"), transport="ipc")
        manager._kernel_spec = KernelSpec(argv=["theirs", "{connection_file}"])
        manager.provisioner = WithItsOwnMind(parent=manager, kernel_spec=manager._kernel_spec)
        monkeypatch.setattr(launcher, "_manager", lambda *_: (manager, False))
        with pytest.raises(StartError, match="'theirs' can neither"):
            await launcher.start(0, "theirs", environment=os.environ, cwd=None)

    asyncio.run(start())
    (pid,) = WithItsOwnMind.started
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
