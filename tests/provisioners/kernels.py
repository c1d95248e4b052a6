"""Kernels of jupyter_client's own managers, with kernelspecs that name the provisioner."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from kernelfleet.provisioners.fork import ForkProvisioner
from kernelfleet.provisioners.forkserver import ForkedProcess


def spec(
    module: str = "ipykernel_launcher", program: str = sys.executable, **config: Any
) -> KernelSpec:
    """A kernelspec as a kernel.json would have it."""
    provisioner = {"provisioner_name": "kernelfleet-fork", "config": config}
    return KernelSpec(
        argv=[program, "-m", module, "-f", "{connection_file}"],
        display_name="forked",
        language="python",
        metadata={"kernel_provisioner": provisioner, "supported_encryption": ["curve"]},
    )


def make(folder: Path, kernel_spec: KernelSpec | None = None, **traits: Any) -> AsyncKernelManager:
    """A manager that has not started its kernel."""
    manager = AsyncKernelManager(connection_file=str(folder / "k.json"), **traits)
    if manager.transport == "ipc":
        manager.ip = str(folder / "k")
    manager._kernel_spec = kernel_spec or spec()
    return manager


def provisioner(manager: AsyncKernelManager) -> ForkProvisioner:
    """The provisioner of a running kernel."""
    assert isinstance(manager.provisioner, ForkProvisioner)
    return manager.provisioner


def is_forked(manager: AsyncKernelManager) -> bool:
    """Whether the kernel was forked, rather than started in the ordinary way."""
    return isinstance(provisioner(manager).process, ForkedProcess)


async def connect(manager: AsyncKernelManager) -> AsyncKernelClient:
    """A client of a kernel that answers."""
    client: AsyncKernelClient = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    return client


async def evaluate(client: AsyncKernelClient, expression: str) -> Any:
    """An expression's value, by its repr."""
    reply = await client.execute_interactive(
        "", user_expressions={"it": expression}, timeout=30, output_hook=lambda _: None
    )
    value = reply["content"]["user_expressions"]["it"]
    assert value["status"] == "ok", value
    return eval(value["data"]["text/plain"])
