"""A provisioner as one for another machine would be: it tells the pid that its kernel has *there*.

The kernel really runs here, so that a fleet can talk to it, but nothing of it is told but what the
provisioner says: neither its pid nor its ``Popen``.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

from jupyter_client.launcher import launch_kernel
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

NAME = "far-provisioner"


class FarProcess:
    """A process of another machine: a pid that means nothing here, and what can be asked there."""

    def __init__(self, real: Any, pid: int) -> None:
        self.pid = pid
        self.real = real


class FarProvisioner(LocalProvisioner):
    """Derived from the local one, as many are, and yet its processes are not of this machine."""

    #: What the next kernels say their pid is.
    told_pid: ClassVar[int] = 0
    #: Whether kernels leave only when they are killed.
    stubborn: ClassVar[bool] = False
    #: What the provisioners have been told.
    said: ClassVar[list[str]] = []

    process: Any

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        real = launch_kernel(cmd, **self._scrub_kwargs(kwargs))
        self.process = FarProcess(real, self.told_pid)
        self.pid = self.pgid = self.told_pid
        return self.connection_info

    @property
    def has_process(self) -> bool:
        return self.process is not None

    async def poll(self) -> int | None:
        if self.process is None:
            return 0
        code = self.process.real.poll()
        return None if code is None or (self.stubborn and "kill" not in self.said) else int(code)

    async def wait(self) -> int | None:
        code = self.process.real.wait() if self.process is not None else 0
        self.process = None
        return int(code)

    async def send_signal(self, signum: int) -> None:
        self.said.append(signal.Signals(signum).name)
        self.process.real.send_signal(signum)

    async def terminate(self, restart: bool = False) -> None:
        self.said.append("terminate")
        self.process.real.terminate()

    async def kill(self, restart: bool = False) -> None:
        self.said.append("kill")
        self.process.real.kill()


@contextmanager
def far_provisioner(told_pid: int, *, stubborn: bool = False) -> Iterator[type[FarProvisioner]]:
    """Have kernelspecs find it under ``NAME`` meanwhile."""
    found = KernelProvisionerFactory.instance().provisioners
    where = f"{FarProvisioner.__module__}:{FarProvisioner.__qualname__}"
    found[NAME] = EntryPoint(NAME, where, KernelProvisionerFactory.GROUP_NAME)
    FarProvisioner.told_pid, FarProvisioner.stubborn = told_pid, stubborn
    FarProvisioner.said.clear()
    try:
        yield FarProvisioner
    finally:
        del found[NAME]
