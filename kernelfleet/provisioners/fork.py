"""ForkProvisioner: kernels forked in milliseconds from a process that has imported everything.

A jupyter_client provisioner (``kernelfleet-fork``), for Linux; it needs only a kernelspec whose
command is ``python -m MODULE ...``, or the safe form of it (``wire/safe_start.py``), with this very
interpreter. What it cannot fork it starts in
the ordinary way: another interpreter or platform.

A fork server serves all kernels of a process that start with the same ``PYTHONPATH``,
``LD_LIBRARY_PATH`` and the like. When it dies the kernels live on, and the next start, or one that
it has left undone, brings up a new one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import List, Unicode

from kernelfleet.provisioners.forkserver import (
    ForkedProcess,
    ForkServer,
    ForkServerError,
    PreloadError,
)
from kernelfleet.provisioners.kinds import Kind, kind_of
from kernelfleet.provisioners.servers import MAX_SERVERS, servers
from kernelfleet.wire.platforms import HERE
from kernelfleet.wire.safe_start import module_index

#: How often a kernel is forked whose fork server dies before it has: another one is started then.
ATTEMPTS = 2
TOO_MANY = (
    "of environments that differ before the fork (PYTHONPATH and the like) there can be "
    f"{MAX_SERVERS}"
)


class ForkProvisioner(LocalProvisioner):
    """Forks kernels from a warm process; see the module's docstring."""

    preload = List(Unicode(), help="Modules to load before forking, besides the kernel's own.").tag(
        config=True
    )

    process: Any  # a Popen, or a ForkedProcess, which has the methods of Popen that are used
    _kind: Kind | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork the kernel, or start it as an ordinary process if it cannot be forked."""
        env = kwargs.get("env") or os.environ
        if not _is_forkable(cmd, kwargs):
            return await super().launch_kernel(cmd, **kwargs)
        kind = kind_of(self.preload, env)
        problem = ""
        for _ in range(ATTEMPTS):
            server = servers.take(kind)
            if server is None:
                problem = TOO_MANY
                break
            try:
                process = await self._fork(server, cmd, env, kwargs)
            except ForkServerError as error:
                servers.release(kind)
                problem = str(error)
                if server.alive:  # another one would say the same
                    break
            except BaseException:
                servers.release(kind)
                raise
            else:
                self._kind = kind
                self.process = process
                self.pid = self.pgid = process.pid
                self.cwd = _folder(kwargs)
                return self.connection_info
        return await self._launch_without(kind, problem, cmd, kwargs)

    async def _launch_without(
        self, kind: Kind, problem: str, cmd: list[str], kwargs: dict[str, Any]
    ) -> Any:
        """Start the kernel as an ordinary process, which has not what a script has made."""
        if kind.scripts:
            raise PreloadError(
                f"what {kind.scripts[0]} has made is only in forked engines, and this one cannot "
                f"be forked: {problem}"
            )
        level = logging.DEBUG if problem == TOO_MANY else logging.WARNING
        self.log.log(level, "%s; starting the kernel in the ordinary way", problem)
        return await super().launch_kernel(cmd, **kwargs)

    async def _fork(
        self, server: ForkServer, cmd: list[str], env: Mapping[str, str], kwargs: dict[str, Any]
    ) -> ForkedProcess:
        """Fork the kernel.

        Raises:
            ForkServerError: the fork server is gone, or could not fork.
            PreloadError: a module of ``preload`` cannot be imported.
        """
        env = {**env, "JPY_PARENT_PID": str(os.getpid())}  # as jupyter_client sets it
        fds = [_descriptor(kwargs.get("stdout"), 1), _descriptor(kwargs.get("stderr"), 2)]
        process = await server.fork(cmd, env, _folder(kwargs), fds)
        while server.failed:
            self.log.warning("cannot preload %s: %s", *server.failed.popitem())
        return process

    async def wait(self) -> int | None:
        """Wait until the process has ended, without the base class's polling every 0.1 s."""
        if not isinstance(self.process, ForkedProcess):
            code: int | None = await super().wait()
            return code
        process = self.process
        if process.poll() is None:
            loop = asyncio.get_running_loop()
            ended = loop.create_future()
            fd = process.dup_pidfd()
            loop.add_reader(fd, _resolve, ended)
            try:
                await ended
            finally:
                loop.remove_reader(fd)
                os.close(fd)
        code = process.poll()
        self.process = None
        return code

    async def cleanup(self, restart: bool = False) -> None:
        """Release the fork server; its last user ends it."""
        await super().cleanup(restart=restart)
        kind, self._kind = self._kind, None
        if kind is not None:
            servers.release(kind)


def _folder(kwargs: Mapping[str, Any]) -> str | None:
    """The working directory of the kernel; None if ours, which it would inherit, was deleted."""
    try:
        return os.fspath(kwargs.get("cwd") or os.getcwd())
    except FileNotFoundError:
        return None


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _is_forkable(cmd: list[str], kwargs: Mapping[str, Any]) -> bool:
    """Whether a child of a fork server can do the same as this command."""
    if not HERE.fork_server:
        return False
    cwd = kwargs.get("cwd")
    if cwd and not os.path.isdir(cwd):
        return False  # an ordinary start reports this best
    for stream in (kwargs.get("stdout"), kwargs.get("stderr")):
        if isinstance(stream, int) and stream < 0:
            return False  # subprocess.PIPE and the like need a Popen
    return module_index(cmd) is not None and _is_this_interpreter(cmd[0])


def _is_this_interpreter(program: str) -> bool:
    """Compare the directories too: the interpreters of all virtual environments may be links."""
    return program == sys.executable or _identity(program) == _identity(sys.executable)


def _identity(path: str) -> tuple[str, str]:
    return os.path.realpath(os.path.dirname(path)), os.path.realpath(path)


def _descriptor(stream: Any, default: int) -> int:
    if stream is None:
        return default
    return stream if isinstance(stream, int) else int(stream.fileno())
