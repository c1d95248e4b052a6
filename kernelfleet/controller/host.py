"""A whole fleet: directory, launcher, roster and controller put together, and taken apart.

Used by the daemon and by the embedded fleet alike. It opens no door to other processes;
``server.py`` does, for the daemon.
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
from kernelfleet.controller.controller import Controller
from kernelfleet.controller.lifecycle.launcher import Launcher
from kernelfleet.controller.lifecycle.registry import EngineRegistry
from kernelfleet.controller.limits import make_limits
from kernelfleet.controller.logs import LogKeeper, forget_old_logs, remove_engine_logs
from kernelfleet.controller.options import HostOptions
from kernelfleet.errors.tree import FleetExists
from kernelfleet.wire.files import fleet_directory, fleet_paths
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.files.fleet_directory import FleetDirectory
from kernelfleet.wire.jupyter import make_session

#: How often to look whether somebody has deleted our directory.
LOOK_SECONDS = 2.0
#: How often a start that takes long says how far it is.
PROGRESS_SECONDS = 2.0


class FleetHost:
    """A running controller with its engines and its directory."""

    def __init__(
        self,
        directory: FleetDirectory,
        controller: Controller,
        stop_requested: asyncio.Event,
        log_keeper: LogKeeper,
    ) -> None:
        self.directory = directory
        self.controller = controller
        self.stop_requested = stop_requested
        self._log_keeper = log_keeper
        self._stopping: asyncio.Task[None] | None = None
        self._complained = False
        self._log = controller.log
        self._loop = asyncio.get_running_loop()
        self._look = self._loop.call_later(LOOK_SECONDS, self._look_after_directory)

    @classmethod
    async def launch(
        cls,
        options: HostOptions,
        context: zmq.Context[Any],
        log: Logger,
    ) -> Self:
        """Take the name and start the engines; returns when they answer.

        Raises:
            FleetExists: the name is taken.
            StartError: an engine did not come up; everything is ended again.
        """
        for name in fleet_directory.remove_stale():
            if name.startswith("embedded-"):
                shutil.rmtree(fleet_paths.log_dir(name), ignore_errors=True)
            log.info("removed what the crashed fleet %r had left", name)
        directory = FleetDirectory(options.name)
        forget_old_logs(fleet_paths.log_dir(options.name), fleet_paths.is_running)
        key = secrets.token_hex(32)
        try:
            if options.embedded:
                directory.write(cls._file(options, key))
            stop_requested = asyncio.Event()
            limits = make_limits(options.limits)
            controller = Controller(options.name, log, stop_requested.set, limits)
            controller.kernel_name = options.kernels[0]
            logs = fleet_paths.log_dir(options.name)
            keeper = LogKeeper(logs, remove_at_end=options.embedded)
            host = cls(directory, controller, stop_requested, keeper)
            controller.roster = host._make_roster(options, context, limits.output_bytes)
        except BaseException:
            directory.remove()
            raise
        telling = asyncio.create_task(_tell_progress(controller.roster, options.on_progress))
        try:
            await controller.roster.add(options.kernels)
        except BaseException:
            await host.stop()
            remove_engine_logs(logs)  # what they say is in the error
            raise
        finally:
            telling.cancel()
        return host

    def _make_roster(
        self, options: HostOptions, context: zmq.Context[Any], output_bytes: int | None
    ) -> EngineRegistry:
        logs, controller = fleet_paths.log_dir(options.name), self.controller
        session_key = secrets.token_bytes(32).hex().encode()
        launcher = Launcher(
            self.directory.sockets,
            logs,
            session_key,
            self._log,
            fork=options.fork,
            preload=options.preload,
            output_bytes=output_bytes,
            out_bytes=controller.limits.out_bytes,
            insecure_kernel=options.insecure_kernel,
            before_start=self.restore_directory,
            log_output=not options.embedded,
        )
        return EngineRegistry(
            context=context,
            session=make_session(session_key, "kernelfleet"),
            launcher=launcher,
            logs=logs,
            log=self._log,
            options=options,
            on_finished=controller.engine_finished,
            on_change=controller.roster_changed,
            on_restarted=controller.engine_restarted,
        )

    @staticmethod
    def _file(options: HostOptions, key: str) -> FleetFile:
        return FleetFile(
            name=options.name,
            pid=os.getpid(),
            host=platform.node(),
            started=time.time(),
            key=key,
            embedded=options.embedded,
            kernelfleet=__version__,
        )

    def restore_directory(self) -> None:
        """Make our directory again if somebody has deleted it, for new clients and new engines."""
        try:
            if self.directory.restore():
                path = self.directory.path
                self._log.warning("made %s again, which somebody had deleted", path)
                self._complained = False
        except (FleetExists, OSError) as error:
            if not self._complained:
                self._log.error("the directory of this fleet was deleted, and stays so: %s", error)
            self._complained = True

    def _look_after_directory(self) -> None:
        self._look = self._loop.call_later(LOOK_SECONDS, self._look_after_directory)
        self.restore_directory()

    async def stop(self) -> None:
        """End everything; nothing of the fleet is left on disk.

        Whoever calls it again waits for the same end, and so it is not given up with a caller.
        """
        if self._stopping is None:
            self._stopping = self._loop.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        try:
            await self.controller.stop()
        finally:
            self._look.cancel()
            self._log_keeper.close()
            self.directory.remove()


async def _tell_progress(roster: EngineRegistry, tell: Callable[[int, int], object] | None) -> None:
    while tell is not None:
        await asyncio.sleep(PROGRESS_SECONDS)
        tell(len(roster.ids), len(roster.engines))
