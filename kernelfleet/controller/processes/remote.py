"""Engines without a process on this machine: only their provisioner can watch and end them.

A kernelspec may name a provisioner that starts its kernel on another machine, in a container or in
a cluster. If such a provisioner reports a pid, that number belongs to an unrelated process here,
and a signal to its process group would kill that one. So a pid is used only where the process is
known to run on this machine. Every other engine is awaited and ended through its provisioner, with
a timeout on every call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from kernelfleet.controller.processes.local import kill_group
from kernelfleet.controller.timing import (
    ANSWER_SECONDS,
    REMOTE_POLITE_SECONDS,
    REMOTE_TERMINATE_SECONDS,
)

#: How often a provisioner is polled about an engine that has been told to end.
POLL_SECONDS = 0.1

#: Our own provisioners, whose processes are forked on this machine.
_OUR_PROVISIONERS = "kernelfleet.provisioners."

_log = logging.getLogger("kernelfleet.kernels")


def local_pid(provisioner: Any) -> int | None:
    """The pid of a kernel whose process certainly runs on this machine; None for any other.

    That is a process which a provisioner derived from jupyter_client's ``LocalProvisioner`` has
    started itself (a ``Popen``, whose pid the system gave) or which we have forked. A subclass that
    tells another number beside its ``Popen``, as one that goes through ssh does, is not believed.
    """
    if not isinstance(provisioner, LocalProvisioner):
        return None
    process: Any = provisioner.process
    is_child = type(process) is subprocess.Popen
    if not is_child and not type(process).__module__.startswith(_OUR_PROVISIONERS):
        return None
    return process.pid if process.pid == provisioner.pid else None


async def exit_code(provisioner: Any) -> int | None:
    """The exit code that the provisioner reports, or None as long as the engine lives.

    If the provisioner raises or does not answer in time, the engine counts as alive.
    """
    try:
        code: int | None = await asyncio.wait_for(provisioner.poll(), ANSWER_SECONDS)
    except Exception:  # noqa: BLE001 (foreign code, which is polled)
        _log.debug("a provisioner did not say how its kernel is", exc_info=True)
        return None
    return code


async def end(provisioner: Any, *, politely: bool) -> None:
    """End an engine. With ``politely`` it was asked to shut down, and is given time to do so."""
    if politely:
        if await _ended_within(provisioner, REMOTE_POLITE_SECONDS):
            return
        await _tell(provisioner.terminate)
        if await _ended_within(provisioner, REMOTE_TERMINATE_SECONDS):
            return
    await _tell(provisioner.kill)
    await _ended_within(provisioner, REMOTE_TERMINATE_SECONDS)


async def _ended_within(provisioner: Any, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await exit_code(provisioner) is None:  # noqa: ASYNC110 (nothing announces it)
                await asyncio.sleep(POLL_SECONDS)
            return True
    return False


async def _tell(what: Callable[[], Awaitable[Any]]) -> None:
    try:
        await asyncio.wait_for(what(), ANSWER_SECONDS)
    except Exception:  # noqa: BLE001 (foreign code)
        _log.debug("a provisioner failed", exc_info=True)


async def clean_up(manager: AsyncKernelManager, *, is_local: bool) -> None:
    """Have the manager and the provisioner clean up after a kernel that has ended."""
    with contextlib.suppress(Exception):
        # A remote provisioner may take any time, so it gets a limit.
        await asyncio.wait_for(
            manager.shutdown_kernel(now=True), None if is_local else 2 * ANSWER_SECONDS
        )


async def abandon(manager: AsyncKernelManager) -> None:
    """Clean up after a start that failed or was cancelled, maybe with a kernel that runs."""
    provisioner: Any = manager.provisioner
    if provisioner is not None and provisioner.has_process:
        pid = local_pid(provisioner)
        if pid is None:
            await end(provisioner, politely=False)
        else:
            kill_group(pid)
            provisioner.process.kill()  # if it was just forked, it has no group yet
            await provisioner.wait()
    await manager.cleanup_resources()
