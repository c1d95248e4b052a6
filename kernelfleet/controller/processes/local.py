"""The processes of kernels on this machine: has one ended, wait for its end, end it.

On Linux a pidfd becomes readable at the moment of a process's death. Where there are no pidfds the
table of processes is polled; for a kernel without a local process, its provisioner is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import psutil

from kernelfleet.controller.processes import table
from kernelfleet.wire.buffers import shared_memory
from kernelfleet.wire.platforms import HERE, POLL_SECONDS

#: How often to poll a process that has been told to end.
ENDING_POLL_SECONDS = 0.02

#: The lines of /proc/PID/status with the signals that a process has been sent and not yet taken.
_PENDING_SIGNALS = ("SigPnd:", "ShdPnd:")
_SIGKILL_BIT = 1 << (signal.SIGKILL - 1) if hasattr(signal, "SIGKILL") else 0


class Watched(Protocol):
    """A process of this machine, with a pidfd where the system has them.

    Without a pid it is no process of this machine, and ``remote.py`` deals with it.
    """

    pid: int | None
    pidfd: int


P = TypeVar("P", bound=Watched)


def open_pidfd(pid: int | None) -> int:
    """A descriptor that becomes readable when the process ends; -1 where there is none."""
    if pid is None or not HERE.pidfds:
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def has_ended(pid: int) -> bool:
    """Whether the process is gone or a zombie."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return _has_ended_unseen(pid)


def _has_ended_unseen(pid: int) -> bool:
    """Whether a process has ended that psutil does not see, as it sees none without /proc."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.kill(pid, 0)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ProcessLookupError:
        return True
    except (PermissionError, ChildProcessError):
        return False  # it exists, and is no child of ours
    return ended is not None


def on_readable_once(
    loop: asyncio.AbstractEventLoop, fd: int, callback: Callable[[], object]
) -> None:
    """Call back when the descriptor is readable for the first time."""

    def readable() -> None:
        loop.remove_reader(fd)
        callback()

    loop.add_reader(fd, readable)


async def call_when_ended(
    pid: int | None,
    ask_provisioner: Callable[[], Awaitable[int | None]],
    callback: Callable[[], object],
) -> None:
    """Poll until a kernel has ended, then call back.

    Args:
        pid: Its process on this machine; None where there is none.
        ask_provisioner: Gives the exit code of a kernel without one, None while it lives.
        callback: Called once.
    """
    while True:
        ended = has_ended(pid) if pid is not None else await ask_provisioner() is not None
        if ended:
            callback()
            return
        await asyncio.sleep(POLL_SECONDS)


async def wait_exit(processes: Sequence[P], timeout: float) -> list[P]:
    """Wait until the processes have ended; returns those that have not within the timeout."""
    loop = asyncio.get_running_loop()
    left = [each for each in processes if not _is_over(each)]
    futures: dict[int, asyncio.Future[None]] = {}
    for each in left:
        if each.pidfd >= 0:
            futures[each.pidfd] = loop.create_future()
            on_readable_once(loop, each.pidfd, _resolving(futures[each.pidfd]))
    polled = [each for each in left if each.pidfd < 0]
    waits: set[asyncio.Future[None]] = set(futures.values())
    if polled:
        waits.add(asyncio.ensure_future(_poll_until_over(polled)))
    if waits:
        _, unfinished = await asyncio.wait(waits, timeout=timeout)
        for wait in unfinished:
            wait.cancel()
        for fd, future in futures.items():
            if future in unfinished:
                loop.remove_reader(fd)
    return [each for each in left if not _is_over(each)]


def _resolving(future: asyncio.Future[None]) -> Callable[[], None]:
    def resolve() -> None:
        if not future.done():
            future.set_result(None)

    return resolve


async def _poll_until_over(processes: Sequence[Watched]) -> None:
    while not all(map(_is_over, processes)):  # noqa: ASYNC110 (nothing announces it)
        await asyncio.sleep(ENDING_POLL_SECONDS)


def is_ending(process: Watched) -> bool:
    """Whether a process has ended, or ends whatever it does, as one does that was just killed.

    On Linux with /proc; elsewhere only one that has ended is known to end.
    """
    if process.pid is None:
        return False
    if _is_over(process):
        return True
    try:
        with open(f"/proc/{process.pid}/status") as status:
            pending = [line.split()[1] for line in status if line.startswith(_PENDING_SIGNALS)]
    except OSError:
        return False
    is_killed = any(int(mask, 16) & _SIGKILL_BIT for mask in pending)
    return is_killed or shared_memory.has_ended(process.pid)


def _is_over(process: Watched) -> bool:
    assert process.pid is not None, "an engine elsewhere is waited for through its provisioner"
    if process.pidfd >= 0:
        return _is_readable(process.pidfd)
    return has_ended(process.pid)


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def terminate_group(pid: int | None) -> None:
    """Ask a process and its group to end."""
    if HERE.process_groups:
        _signal_group(pid, signal.SIGTERM)
    # elsewhere that would be as sudden as killing, and the kernel was asked by a message


def kill_group(pid: int | None) -> None:
    """End a process and its group; call it before the process is reaped."""
    if HERE.process_groups:
        _signal_group(pid, signal.SIGKILL)
    elif pid is not None:
        with contextlib.suppress(psutil.Error):
            for each in (*descendants({pid}), psutil.Process(pid)):
                each.kill()


def kill_surely(process: Watched) -> None:
    """End a process with its group, also one that was just forked and has no group yet."""
    kill_group(process.pid)
    if process.pidfd >= 0:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)


def _signal_group(pid: int | None, signum: int) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signum)


def descendants(roots: Iterable[int]) -> list[psutil.Process]:
    """Every process below ``roots``, those in sessions of their own too, in one look."""
    waiting = list(roots)
    if not waiting:
        return []
    children: dict[int, list[table.Row]] = {}
    for row in table.rows():
        children.setdefault(row.parent, []).append(row)
    found: list[psutil.Process] = []
    while waiting:
        for row in children.get(waiting.pop(), []):
            waiting.append(row.pid)
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(row.pid)
                if table.started(row.pid) == row.started:  # its number was not reused meanwhile
                    found.append(process)
    return found


def is_stopped(pid: int | None) -> bool:
    """Whether a process was stopped by a signal, as by SIGSTOP, and so does nothing at all."""
    try:
        return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def resource_usage(pid: int | None) -> dict[str, Any]:
    """Memory (bytes) and CPU seconds of a process; empty where it cannot be told."""
    if pid is None:
        return {}
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return {
                "memory_bytes": process.memory_info().rss,
                "cpu_seconds": times.user + times.system,
            }
    except psutil.Error:
        return {}
