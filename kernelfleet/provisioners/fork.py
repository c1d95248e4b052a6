"""ForkProvisioner: kernels forked in milliseconds from a process that has imported everything.

A jupyter_client provisioner (``kernelfleet-fork``), for Linux; it needs only a kernelspec whose
command is ``python -m MODULE ...`` with this very interpreter. What it cannot fork it starts in
the ordinary way: another interpreter or platform, or an environment that a running interpreter
cannot take over (``PYTHONPATH``, ``LD_LIBRARY_PATH``...).

One fork server serves all kernels of a process; ``zygote.py`` is its other half. When it dies the
kernels live on, and the next start brings up a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import List, Unicode

#: Modules a kernelfleet engine loads until its first command has run.
ENGINE_MODULES = ("kernelfleet.engine.app", "kernelfleet.engine.preload")

#: Variables that are read when an interpreter, its C library or its memory starts up.
_START_UP_PREFIXES = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "ASAN_", "LC_", "LANG")
#: Thread limits, read when numpy is loaded: a server that has preloaded it has read them.
_BLAS_SUFFIX = "_NUM_THREADS"

START_TIMEOUT = 30.0


class ForkServerError(RuntimeError):
    """The fork server cannot be used."""


class ForkedProcess:
    """What ``LocalProvisioner`` needs of a Popen, for a child of the fork server."""

    stdin = stdout = stderr = None

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        #: False where the fork server died first: then nobody knows how it ended.
        self.exit_code_known = True
        self._server = server
        self._pidfd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.returncode is None:
            self._server.pump()
        if self.returncode is None and self._has_ended():
            self._await_exit_code()
        return self.returncode

    def _has_ended(self) -> bool:
        return bool(select.select([self._pidfd], [], [], 0)[0])

    def _await_exit_code(self) -> None:
        """It has ended; the fork server is about to say how, or has died itself."""
        deadline = time.monotonic() + 1.0
        while self.returncode is None and time.monotonic() < deadline and self._server.alive:
            select.select([self._server.fileno()], [], [], 0.05)
            self._server.pump()
        if self.returncode is None:
            self.exit_code_known = False
            self.settle(255)

    def settle(self, code: int) -> None:
        """It has ended with this code."""
        if self.returncode is None:
            self.returncode = code
            os.close(self._pidfd)

    def wait(self) -> int | None:
        """Wait until it has ended."""
        if self.returncode is None:
            select.select([self._pidfd], [], [])
        return self.poll()

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process; nothing if it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._pidfd, signum)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The owner's half: one zygote process and its children."""

    def __init__(self, modules: tuple[str, ...], threads: tuple[tuple[str, str], ...]) -> None:
        self.modules = modules
        self.environment = {k: v for k, v in os.environ.items() if k != "JPY_PARENT_PID"}
        self.environment.update(threads)
        self.alive = True
        #: Modules that could not be preloaded, and why.
        self.failed: dict[str, str] = {}
        self._ready = False
        self._processes: dict[int, ForkedProcess] = {}
        self._early_exits: dict[int, int] = {}
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._next_id = 0
        self._lock = threading.RLock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
        self._socket = ours
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "kernelfleet.provisioners.zygote",
                    str(theirs.fileno()), ",".join(modules),
                ],
                pass_fds=[theirs.fileno()],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        ours.setblocking(False)

    @property
    def pid(self) -> int:
        """The zygote's process id."""
        return self._process.pid

    def fileno(self) -> int:
        """The socket to the zygote."""
        return self._socket.fileno()

    @property
    def children(self) -> int:
        """How many kernels it has that have not ended."""
        return len(self._processes)

    async def fork(
        self, argv: list[str], env: Mapping[str, str], cwd: str | None, fds: list[int]
    ) -> ForkedProcess:
        """Fork a kernel.

        Raises:
            ForkServerError: the fork server is gone, or could not fork.
        """
        loop = asyncio.get_running_loop()
        self._next_id += 1
        answer: asyncio.Future[int] = loop.create_future()
        request_id = self._next_id
        self._answers[request_id] = answer
        request = {"id": request_id, "argv": argv, "env": dict(env), "cwd": cwd}
        loop.add_reader(self._socket, self.pump)
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], fds)
            pid = await asyncio.wait_for(answer, START_TIMEOUT)
        except (OSError, TimeoutError) as error:
            self.pump()
            raise ForkServerError(f"the fork server does not answer: {error}") from error
        finally:
            self._answers.pop(request_id, None)
            if not self._answers and self.alive:
                loop.remove_reader(self._socket)
        process = self._processes[pid] = ForkedProcess(self, pid)
        code = self._early_exits.pop(pid, None)
        if code is not None:
            self._exited(pid, code)
        return process

    def pump(self) -> None:
        """Take what the zygote has said; never blocks."""
        with self._lock:
            while self.alive:
                try:
                    packet = self._socket.recv(65536)
                except BlockingIOError:
                    return
                except OSError:
                    packet = b""
                if not packet:
                    self._lost()
                    return
                self._take(json.loads(packet))

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self._ready = True
            self.failed = message["failed"]
            return
        if "exited" in message:
            self._exited(message["exited"], message["code"])
            return
        answer = self._answers.get(message.get("id", 0))
        if answer is None or answer.done():
            return
        if "pid" in message:
            answer.set_result(message["pid"])
        else:
            answer.set_exception(ForkServerError(f"cannot fork: {message.get('error')}"))

    def _exited(self, pid: int, code: int) -> None:
        process = self._processes.pop(pid, None)
        if process is None:
            self._early_exits[pid] = code
        else:
            process.settle(code)

    def _lost(self) -> None:
        """The zygote has died: its kernels live on, without anybody to tell how they end."""
        self.alive = False
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().remove_reader(self._socket)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ForkServerError("the fork server has died"))
        self._socket.close()
        self._process.wait()

    def close(self) -> None:
        """End the zygote, and with it kernels that still run."""
        if self.alive:
            self.pump()
            self.alive = False
            self._socket.close()
            if not self._ready:
                self._process.kill()  # still importing; it has no children yet
            try:
                self._process.wait(timeout=1.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()


def takes_over(base: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether a running interpreter with ``base`` as environment can become one with ``wanted``.

    Everything else takes effect in the child; what is read when an interpreter starts does not.
    """
    names = {name for name in base.keys() | wanted.keys() if name.startswith(_START_UP_PREFIXES)}
    return all(base.get(name) == wanted.get(name) for name in names)


#: What tells one fork server from another: the modules, and the thread limits they have read.
_Kind = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]


def kind_of(preload: Sequence[str], env: Mapping[str, str]) -> _Kind:
    """Which fork server serves kernels with this preload and environment."""
    threads = sorted(item for item in env.items() if preload and item[0].endswith(_BLAS_SUFFIX))
    return (*ENGINE_MODULES, *preload), tuple(threads)


class _Servers:
    """The fork servers of this process, and how many use each; the last user ends one."""

    def __init__(self) -> None:
        self._servers: dict[_Kind, ForkServer] = {}
        self._users: Counter[_Kind] = Counter()
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def _forget_if_forked(self) -> None:
        if self._pid != os.getpid():  # they are the parent's
            self._servers, self._users, self._pid = {}, Counter(), os.getpid()

    def take(self, kind: _Kind) -> ForkServer:
        """A living server; every ``take`` needs a ``release``."""
        with self._lock:
            self._forget_if_forked()
            server = self._servers.get(kind)
            if server is not None:
                server.pump()
            if server is None or not server.alive:
                server = self._servers[kind] = ForkServer(*kind)
            self._users[kind] += 1
            return server

    def release(self, kind: _Kind) -> None:
        """Done with it."""
        with self._lock:
            self._forget_if_forked()
            self._users[kind] -= 1
            if self._users[kind] > 0:
                return
            del self._users[kind]
            server = self._servers.pop(kind, None)
        if server is not None:
            server.close()


servers = _Servers()


class ForkProvisioner(LocalProvisioner):
    """Forks kernels from a warm process; see the module's docstring."""

    preload = List(Unicode(), help="Modules to load before forking, besides the kernel's own.").tag(
        config=True
    )

    process: Any  # a Popen, or a ForkedProcess, which has as much of one as is used
    _kind: _Kind | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork the kernel, or start it in the ordinary way where it cannot be forked."""
        env = kwargs.get("env") or os.environ
        if not _is_forkable(cmd):
            return await super().launch_kernel(cmd, **kwargs)
        kind = kind_of(self.preload, env)
        server = servers.take(kind)
        try:
            process = await self._fork(server, cmd, env, kwargs)
        except BaseException:
            servers.release(kind)
            raise
        if process is None:
            servers.release(kind)
            return await super().launch_kernel(cmd, **kwargs)
        self._kind = kind
        self.process = process
        self.pid = self.pgid = process.pid
        self.cwd = kwargs.get("cwd") or os.getcwd()
        return self.connection_info

    async def _fork(
        self, server: ForkServer, cmd: list[str], env: Mapping[str, str], kwargs: dict[str, Any]
    ) -> ForkedProcess | None:
        """The forked kernel; None where it has to be started in the ordinary way."""
        if not takes_over(server.environment, env):
            self.log.debug("the environment asks for an interpreter of its own")
            return None
        env = {**env, "KERNELFLEET_CONTROLLER_PID": str(os.getpid())}
        fds = [_descriptor(kwargs.get("stdout"), 1), _descriptor(kwargs.get("stderr"), 2)]
        cwd = kwargs.get("cwd")
        try:
            process = await server.fork(cmd, env, None if cwd is None else os.fspath(cwd), fds)
            while server.failed:
                self.log.warning("cannot preload %s: %s", *server.failed.popitem())
            return process
        except ForkServerError as error:
            self.log.warning("%s; starting the kernel in the ordinary way", error)
            return None

    async def wait(self) -> int | None:
        """Wait until the process has ended, without the base class's polling every 0.1 s."""
        if not isinstance(self.process, ForkedProcess):
            code: int | None = await super().wait()
            return code
        process = self.process
        if process.poll() is None:
            loop = asyncio.get_running_loop()
            ended = loop.create_future()
            fd = os.pidfd_open(process.pid)
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
        """Let the fork server go; the last one ends it."""
        await super().cleanup(restart=restart)
        kind, self._kind = self._kind, None
        if kind is not None:
            servers.release(kind)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _is_forkable(cmd: list[str]) -> bool:
    """Whether a fork server of ours can become this command."""
    if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
        return False
    if len(cmd) < 3 or cmd[1] != "-m":
        return False
    return os.path.realpath(cmd[0]) == os.path.realpath(sys.executable)


def _descriptor(stream: Any, default: int) -> int:
    if stream is None:
        return default
    if isinstance(stream, int):
        return stream if stream >= 0 else default
    return int(stream.fileno())
