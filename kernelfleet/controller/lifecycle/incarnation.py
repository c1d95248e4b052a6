"""Incarnation: one process of an engine, from its start to its end, and what connects to it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.manager import AsyncKernelManager

from kernelfleet.controller.engines.channels import Endpoints


def _at_once(method: Any) -> Any:
    """A method of KernelManager without the decorator that adds 10 ms to it.

    jupyter_client 8.10 sleeps that long after each start and each shutdown, so that its own tests
    see a state in between (``in_pending_state`` in ``manager.py``).
    """
    return getattr(method, "__wrapped__", method)


class EngineManager(AsyncKernelManager):
    """A KernelManager that opens no sockets, as ``KernelChannels`` serves all engines."""

    start_kernel = _at_once(AsyncKernelManager._async_start_kernel)
    shutdown_kernel = _at_once(AsyncKernelManager._async_shutdown_kernel)

    def _connect_control_socket(self) -> None:
        """Do nothing; the base class opens one socket per kernel (jupyter_client 8.10)."""


@dataclass(slots=True)
class Incarnation:
    """One process of an engine, from start to end."""

    engine_id: int
    manager: EngineManager
    identity: bytes
    session_id: str
    endpoints: Endpoints
    native: bool
    kernel_name: str
    #: Whether it is unknown if this kernel supports the Unix sockets that it was told to use.
    ipc_on_trial: bool = False
    #: None if it is no process of this machine.
    pid: int | None = None
    #: When that began, as the table of processes has it; 0 if it is unknown.
    began: int = 0
    pidfd: int = -1
    #: Polls whether it has ended, where there is no pidfd.
    watch: asyncio.Task[None] | None = None
    #: It is being ended by us, so its end is not reported as a death.
    leaving: bool = False
    started: float = field(default_factory=time.time)

    @property
    def connection_file(self) -> str:
        """The Jupyter connection file, for ``jupyter console --existing``."""
        return str(self.manager.connection_file)

    @property
    def provisioner(self) -> Any:
        """The provisioner that has started it."""
        return self.manager.provisioner

    @property
    def transport(self) -> str:
        """How it is connected: ``ipc``, ``tcp+curve`` or ``tcp`` (signed, not encrypted)."""
        if self.manager.transport == "tcp" and self.endpoints.curve_public_key is not None:
            return "tcp+curve"
        return str(self.manager.transport)


def endpoints_of(manager: EngineManager) -> Endpoints:
    """Where a kernel listens, and with which keys."""
    url = manager._make_url
    return Endpoints(
        shell=url("shell"),
        control=url("control"),
        stdin=url("stdin"),
        iopub=url("iopub"),
        curve_public_key=manager.curve_publickey,
        curve_secret_key=manager.curve_secretkey,
    )
