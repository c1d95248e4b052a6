"""Starts, watches and ends kernel processes, through jupyter_client's KernelManager.

Each start of an engine is an ``Incarnation`` with its own manager, connection file, endpoints and
routing id. A restart is a new incarnation, because ZMQ would deliver frames that are queued for a
dead kernel to its successor on the same endpoint, and ``restart_kernel`` keeps the endpoint on ipc
even with ``newports=True`` (jupyter_client 8.10).

The manager's own restarter is off: a death is seen here, within milliseconds where there are
pidfds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterable, Mapping
from logging import Logger
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from kernelfleet.controller.lifecycle import kernelspecs
from kernelfleet.controller.lifecycle.incarnation import (
    EngineManager,
    Incarnation,
    endpoints_of,
)
from kernelfleet.controller.lifecycle.worlds import Worlds
from kernelfleet.controller.limits import make_limits, meaning
from kernelfleet.controller.logs import open_log
from kernelfleet.controller.options import FleetOptions
from kernelfleet.controller.processes import process_tree, remote, table
from kernelfleet.controller.processes.local import (
    call_when_ended,
    descendants,
    is_ending,
    kill_group,
    kill_surely,
    on_readable_once,
    open_pidfd,
    terminate_group,
    wait_exit,
)
from kernelfleet.controller.processes.nanny import Nanny
from kernelfleet.controller.timing import POLITE_SECONDS, TERMINATE_SECONDS
from kernelfleet.errors.tree import StartError
from kernelfleet.wire import process_tags
from kernelfleet.wire.files.private_files import close_to_others
from kernelfleet.wire.jupyter import make_session

#: The descendants of engines that die within this time are searched for together.
GATHER_SECONDS = 0.05

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
NO_FOLDER = "the folder that this process works in was deleted: go to another one (os.chdir)"

#: The log of jupyter_client and the provisioners. Errors are raised as well and logged by us.
_kernels_log = logging.getLogger("kernelfleet.kernels")
_kernels_log.addFilter(lambda record: record.exc_info is None)


class Launcher:
    """Starts and ends kernels in one private directory, all signing with one key."""

    is_ending = staticmethod(is_ending)

    def __init__(
        self,
        directory: Path,
        logs: Path,
        key: bytes,
        log: Logger,
        options: FleetOptions,
        *,
        before_start: Callable[[], object] = lambda: None,
    ) -> None:
        self._directory = directory
        self._logs = logs
        self._key = key
        self._options, self._limits = options, make_limits(options.limits)
        self._log = log
        self._before_start = before_start
        self._specs = KernelSpecManager()
        self._nanny = Nanny()
        #: Engines that died, whose descendants are still to be killed: their tags, and when they
        #: began.
        self._orphaned: dict[str, int] = {}
        #: When the processes of engines began that have not been reaped, by their ids.
        self._living: dict[int, int] = {}
        #: Where the engines are the ranks of an MPI world.
        self.worlds: Worlds | None = None
        if options.mpi:
            self.worlds = Worlds(
                options.mpiexec, directory, logs, self._nanny, of_a_head=options.of_a_head
            )
        #: How kernelfleet's own kernels are started; other kernelspecs say so themselves.
        self._provisioner: dict[str, Any] = {
            "provisioner_name": "kernelfleet-fork" if options.fork else "local-provisioner",
            "config": {"preload": list(options.preload)} if options.fork else {},
        }

    async def start(
        self,
        engine_id: int,
        kernel_name: str | None,
        *,
        environment: Mapping[str, str],
        cwd: str | None,
    ) -> Incarnation:
        """Launch a kernel process; it does not answer yet.

        Args:
            engine_id: The engine that this process is of.
            kernel_name: A kernelspec, or None for kernelfleet's own kernel.
            environment: The whole environment of the process.
            cwd: Its working directory; None is that of this process.

        Raises:
            StartError: it could not be started, or other users could read its messages.
        """
        if cwd is None and _folder_is_gone():
            raise StartError(NO_FOLDER)
        self._before_start()
        session_id = uuid.uuid4().hex
        manager, on_trial = self._manager(engine_id, kernel_name, session_id)
        log = open_log(self._logs, engine_id, self._log)
        try:
            await manager.start_kernel(
                env=process_tags.added_to(environment, session_id), cwd=cwd, stdout=log, stderr=log
            )
            if _is_readable_by_others(manager) and not self._options.insecure_kernel:
                # its provisioner has decided otherwise
                raise StartError(kernelspecs.why_not_tcp(kernel_name or "kernelfleet"))
            child = getattr(manager.provisioner, "process", None)
            if isinstance(child, subprocess.Popen):
                self._nanny.watch(child.pid)
            if isinstance(child, subprocess.Popen) or self.worlds is not None:
                self._nanny.watch_tag(session_id)
        except Exception as error:
            await self._abandon(manager, session_id)
            raise StartError(self._not_started(engine_id, error)) from error
        except asyncio.CancelledError:
            await self._abandon(manager, session_id)
            raise
        finally:
            os.close(log)
        pid = remote.local_pid(manager.provisioner)
        return Incarnation(
            engine_id=engine_id,
            manager=manager,
            identity=session_id.encode(),
            session_id=session_id,
            endpoints=endpoints_of(manager),
            native=kernel_name is None,
            kernel_name=kernel_name or "kernelfleet",
            ipc_on_trial=on_trial,
            pid=pid,
            began=self._note_beginning(pid),
            pidfd=open_pidfd(pid),
        )

    def _note_beginning(self, pid: int | None) -> int:
        """When a process began; 0 for a rank of MPI: those above it may carry its tag as well."""
        began = table.started(pid) if self.worlds is None else 0
        if pid is not None:
            self._living[pid] = began
        return began

    async def _abandon(self, manager: EngineManager, tag: str) -> None:
        """End a kernel whose start has failed, and clean up."""
        child = getattr(manager.provisioner, "process", None)
        if child is not None:
            self._nanny.forget(child.pid)
        self._nanny.forget_tag(tag)
        await remote.abandon(manager)

    def _manager(
        self, engine_id: int, kernel_name: str | None, session_id: str
    ) -> tuple[EngineManager, bool]:
        """A manager for the kernel, and whether its transport is on trial."""
        manager = EngineManager(autorestart=False, log=_kernels_log)
        manager.session = make_session(self._key, session_id)
        manager.connection_file = str(self._directory / f"e{engine_id}-{session_id[:4]}.json")
        manager._kernel_spec = spec = self._spec(engine_id, kernel_name, session_id)
        transport = kernelspecs.transport_of(
            spec, name=kernel_name, insecure=self._options.insecure_kernel
        )
        manager.transport = transport.name
        manager.transport_encryption = "required" if transport.encrypted else "disabled"
        return manager, transport.on_trial

    def _not_started(self, engine_id: int, error: Exception) -> str:
        if isinstance(error, FileNotFoundError) and _folder_is_gone():
            return NO_FOLDER  # jupyter_client 8.10 needs it even where it is not used
        # The error of a full disk does not always name a file.
        full = isinstance(error, OSError) and error.filename is None and error.errno in FULL
        where = f" in {self._directory}" if full else ""
        return f"engine {engine_id} could not be started: {error}{where}{meaning(str(error))}"

    def _spec(self, engine_id: int, kernel_name: str | None, session_id: str) -> KernelSpec:
        if kernel_name is not None:
            return kernelspecs.find(self._specs, kernel_name)
        return kernelspecs.own(
            self._directory,
            session_id,
            self._limits.output_bytes,
            self._provisioner if self.worlds is None else self.worlds.provisioner(engine_id),
            # MPI writes into it which rank has aborted the world.
            log_output=not self._options.embedded or self._options.mpi,
            out_bytes=self._limits.out_bytes,
        )

    def watch(
        self, incarnation: Incarnation, loop: asyncio.AbstractEventLoop, on_exit: Callable[[], None]
    ) -> None:
        """Call ``on_exit`` once, on the loop, when the process has ended."""
        if incarnation.pidfd >= 0:
            on_readable_once(loop, incarnation.pidfd, on_exit)
            return
        incarnation.watch = loop.create_task(
            call_when_ended(
                incarnation.pid, lambda: remote.exit_code(incarnation.provisioner), on_exit
            )
        )

    def close_to_others(self, incarnation: Incarnation) -> None:
        """Make the sockets of a kernel private, beside the directory that already is."""
        for path in self._files(incarnation):
            close_to_others(path)

    def _files(self, incarnation: Incarnation) -> list[Path]:
        """The connection file of a kernel and its sockets; none if the directory was deleted."""
        stem = Path(incarnation.connection_file).stem
        with contextlib.suppress(OSError):
            # Names first: an object for each file would be made for each engine of a large fleet.
            names = os.listdir(self._directory)
            return [self._directory / name for name in names if name.startswith(stem)]
        return []

    async def interrupt(self, incarnation: Incarnation) -> bool:
        """Send SIGINT; False where the kernel wants an ``interrupt_request`` instead."""
        manager = incarnation.manager
        spec = manager.kernel_spec
        if spec is not None and spec.interrupt_mode == "message":
            return False
        await manager.signal_kernel(signal.SIGINT)
        return True

    async def reap(self, incarnation: Incarnation) -> int | None:
        """Clean up after a process that has ended, and kill the rest of its process group.

        The group is killed before the process is reaped, while its id cannot be reused.

        Returns:
            Its exit code, negative for a signal; None if it is unknown.
        """
        kill_group(incarnation.pid)
        if incarnation.watch is not None:
            incarnation.watch.cancel()
        if incarnation.pid is not None:
            self._living.pop(incarnation.pid, None)
            self._nanny.forget(incarnation.pid)
        if incarnation.pidfd >= 0:
            asyncio.get_running_loop().remove_reader(incarnation.pidfd)
            os.close(incarnation.pidfd)
            incarnation.pidfd = -1
        provisioner = incarnation.provisioner
        exit_code = await remote.exit_code(provisioner)
        if not getattr(getattr(provisioner, "process", None), "exit_code_known", True):
            exit_code = None  # the fork server, the parent, has died as well
        await remote.clean_up(incarnation.manager, is_local=incarnation.pid is not None)
        for path in self._files(incarnation):  # of a kernel that was killed
            path.unlink(missing_ok=True)
        return exit_code

    async def stop(
        self, incarnations: Iterable[Incarnation], request_shutdown: Callable[[Incarnation], None]
    ) -> None:
        """End kernels with everything they have started: first ask, then signal, then kill.

        Bounded whatever the kernels do: ipykernel's own shutdown (7.4) waits up to 28 s for a
        child that ignores SIGTERM, and its closing has been seen to hang for ever under load.
        """
        alive = list(incarnations)
        if not alive:
            await self._end_carriers(self._orphaned)
            return
        # Before they are asked: once a kernel has ended, it is nobody's parent any more.
        family = descendants({incarnation.pid for incarnation in alive if incarnation.pid})
        for incarnation in alive:
            request_shutdown(incarnation)
        await asyncio.gather(
            self._stop_here([each for each in alive if each.pid is not None], family),
            *(remote.end(each.provisioner, politely=True) for each in alive if each.pid is None),
        )
        await asyncio.gather(*(self.reap(incarnation) for incarnation in alive))
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil compares start times: a reused pid is safe
        await self._end_carriers({each.session_id: each.began for each in alive} | self._orphaned)

    async def _stop_here(self, alive: list[Incarnation], family: list[psutil.Process]) -> None:
        """End processes of this machine that were asked to; adds new descendants to ``family``."""
        left = await wait_exit(alive, POLITE_SECONDS)
        family += descendants({incarnation.pid for incarnation in left if incarnation.pid})
        for incarnation in left:
            terminate_group(incarnation.pid)
        left = await wait_exit(left, TERMINATE_SECONDS)
        for incarnation in left:
            kill_surely(incarnation)
        await wait_exit(left, POLITE_SECONDS)

    async def end_now(self, incarnation: Incarnation) -> None:
        """Kill a kernel that has done no work yet, with everything it has started."""
        if incarnation.pid is None:
            await remote.end(incarnation.provisioner, politely=False)
        else:
            kill_surely(incarnation)
            await wait_exit([incarnation], POLITE_SECONDS)
        await self.reap(incarnation)
        await self._end_carriers({incarnation.session_id: incarnation.began})

    async def end_descendants(self, incarnation: Incarnation) -> None:
        """Kill what a dead engine has started; engines that die together share one search."""
        self._orphaned[incarnation.session_id] = incarnation.began
        await asyncio.sleep(GATHER_SECONDS)
        orphaned = dict(self._orphaned)
        await self._end_carriers(orphaned)
        for tag in orphaned:
            self._orphaned.pop(tag, None)

    async def _end_carriers(self, tags: Mapping[str, int]) -> None:
        """Kill what engines that have ended have started: their tags, and when they began."""
        known = process_tree.Engines(min(tags.values(), default=0), self._living)
        await process_tree.end_all(tags, known)
        for tag in list(tags):
            self._nanny.forget_tag(tag)


def _is_readable_by_others(manager: EngineManager) -> bool:
    return bool(manager.transport == "tcp" and manager.curve_publickey is None)


def _folder_is_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False
