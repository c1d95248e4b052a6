"""A whole fleet: its directory, launcher, engine registry and controller, put together in order.

Used by the daemon and by the embedded fleet alike. It opens no door to other processes:
``door/server.py`` does, for the daemon, and ``door/private.py`` for an embedded fleet.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import shutil
import time
from collections.abc import Callable
from logging import Logger
from typing import Any, Self

import zmq

from kernelfleet import __version__
from kernelfleet.controller.base import BaseController
from kernelfleet.controller.controller import Controller
from kernelfleet.controller.lifecycle.launcher import Launcher
from kernelfleet.controller.lifecycle.registry import EngineRegistry
from kernelfleet.controller.limits import make_limits
from kernelfleet.controller.logs import LogKeeper, forget_old_logs, remove_engine_logs
from kernelfleet.controller.operations import CALLS
from kernelfleet.controller.options import FleetOptions
from kernelfleet.errors.tree import FleetExists
from kernelfleet.wire.files import fleet_directory, fleet_paths
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.files.fleet_directory import FleetDirectory
from kernelfleet.wire.jupyter import make_session

#: How often to check whether somebody has deleted the fleet's directory.
DIRECTORY_CHECK_SECONDS = 2.0
#: How often a start that takes long reports how many engines answer.
PROGRESS_SECONDS = 2.0


class DirectoryKeeper:
    """Makes the fleet's directory again when somebody has deleted it."""

    def __init__(self, directory: FleetDirectory, log: Logger) -> None:
        self._directory, self._log = directory, log
        self._complained = False
        self._loop = asyncio.get_running_loop()
        self._check = self._loop.call_later(DIRECTORY_CHECK_SECONDS, self._check_again)

    def restore(self) -> None:
        """Make the directory again if it was deleted, for new clients and new engines."""
        try:
            if self._directory.restore():
                path = self._directory.path
                self._log.warning("made %s again, which somebody had deleted", path)
                self._complained = False
        except (FleetExists, OSError) as error:
            if not self._complained:
                self._log.error("the directory of this fleet was deleted, and stays so: %s", error)
            self._complained = True

    def _check_again(self) -> None:
        self._check = self._loop.call_later(DIRECTORY_CHECK_SECONDS, self._check_again)
        self.restore()

    def close(self) -> None:
        """Remove the directory and look after it no longer."""
        self._check.cancel()
        self._directory.remove()


class FleetHost:
    """A running controller with its engines and its directory.

    The parts are made in the order in which they need each other: directory, launcher, engine
    registry, controller. A part tells the later ones what happens through callbacks they register.

    Raises:
        FleetExists: the name is taken.
    """

    def __init__(self, options: FleetOptions, context: zmq.Context[Any], log: Logger) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._stopping: asyncio.Task[None] | None = None
        #: Set when a client has asked for the end of the fleet.
        self.stop_requested = asyncio.Event()
        self.directory = FleetDirectory(options.name)
        #: What the connection file is to say; a door adds where it listens.
        self.file = _file_of(options)
        try:
            if options.embedded:
                self.directory.write(self.file)
            logs = fleet_paths.log_dir(options.name)
            forget_old_logs(logs, fleet_paths.is_running)
            self._log_keeper = LogKeeper(logs, remove_at_end=options.embedded)
            self._keeper = DirectoryKeeper(self.directory, log)
            self.controller = self._make_controller(context, log)
        except BaseException:
            self.directory.remove()
            raise

    def _make_controller(self, context: zmq.Context[Any], log: Logger) -> BaseController[Any]:
        registry = self._make_registry(context, log)
        self.registry = registry
        return Controller(
            self._options.name,
            registry,
            CALLS,
            log,
            self.stop_requested.set,
            limits=make_limits(self._options.limits),
            kernel_name=self._options.kernels[0],
        )

    def _make_registry(self, context: zmq.Context[Any], log: Logger) -> EngineRegistry:
        """The registry of engines on this machine, with what starts them."""
        options, logs = self._options, fleet_paths.log_dir(self._options.name)
        key = secrets.token_bytes(32).hex().encode()
        launcher = Launcher(
            self.directory.sockets, logs, key, log, options, before_start=self._keeper.restore
        )
        session = make_session(key, "kernelfleet")
        return EngineRegistry(context, session, launcher, logs, log, options)

    @classmethod
    async def launch(cls, options: FleetOptions, context: zmq.Context[Any], log: Logger) -> Self:
        """Take the name and start the engines; returns when they answer.

        Raises:
            FleetExists: the name is taken.
            StartError: an engine did not come up; everything is ended again.
        """
        for crashed in fleet_directory.remove_stale():
            if crashed.embedded:
                shutil.rmtree(fleet_paths.log_dir(crashed.name), ignore_errors=True)
            log.info("removed what the crashed fleet %r had left", crashed.name)
        host = cls(options, context, log)
        await host._start_engines()
        return host

    async def _start_engines(self) -> None:
        report = _report_progress(self._count_engines, self._options.on_progress)
        reporting = self._loop.create_task(report)
        try:
            await self._start()
        except BaseException:
            await self.stop()
            remove_engine_logs(fleet_paths.log_dir(self._options.name))  # the error quotes them
            raise
        finally:
            reporting.cancel()

    async def _start(self) -> None:
        await self.registry.add(self._options.kernels)

    def _count_engines(self) -> tuple[int, int] | None:
        """How many engines answer, of how many; None if that is not known yet."""
        return len(self.registry.ids), len(self.registry.engines)

    async def stop(self) -> None:
        """End everything; nothing of the fleet is left on disk.

        Whoever calls it again waits for the same end, which goes on even if a caller is cancelled.
        """
        if self._stopping is None:
            self._stopping = self._loop.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        try:
            await self.controller.stop()
        finally:
            self._log_keeper.close()
            self._keeper.close()


def _file_of(options: FleetOptions) -> FleetFile:
    return FleetFile(
        name=options.name,
        pid=os.getpid(),
        host=platform.node(),
        started=time.time(),
        key=secrets.token_hex(32),
        embedded=options.embedded,
        owner=options.owner,
        owner_path=options.owner_path,
        cluster=options.cluster_name,
        kernelfleet=__version__,
    )


async def _report_progress(
    count: Callable[[], tuple[int, int] | None], report: Callable[[int, int], object] | None
) -> None:
    """Tell now and then how many engines answer, of how many."""
    while report is not None:
        await asyncio.sleep(PROGRESS_SECONDS)
        counted = count()
        if counted is not None:
            report(*counted)
