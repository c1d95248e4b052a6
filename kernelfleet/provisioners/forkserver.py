"""ForkServer: the owner's half of the fork server.

One zygote process (``zygote.py``) per kind of kernel (``kinds.py``). It may be used from several
threads and event loops.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
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
from collections.abc import Mapping
from typing import Any

from kernelfleet.provisioners.kinds import Kind, environment_of
from kernelfleet.wire.safe_start import safely

#: How long a fork server may take to load what is preloaded, and then for each fork.
START_TIMEOUT = 30.0
FORK_TIMEOUT = 5.0
#: How long it may take if it runs a script of the user's first, which may read much data.
SCRIPT_TIMEOUT = 600.0
#: How often a fork server that does not answer gets SIGCONT, in case somebody has stopped it.
WAKE_SECONDS = 0.5


class ForkServerError(RuntimeError):
    """The fork server cannot be used."""


class PreloadError(RuntimeError):
    """A module that was to be preloaded cannot be imported."""


class ForkedProcess:
    """The methods of Popen that ``LocalProvisioner`` uses, for a child of the fork server."""

    stdin = stdout = stderr = None

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        #: False if the fork server died first: then the exit code is unknown.
        self.exit_code_known = True
        self._server = server
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._pidfd = -1  # it has ended, and the fork server has reaped it

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        with self._server.lock:
            if self.returncode is None:
                self._server.pump()
            if self.returncode is None and (self._pidfd < 0 or _is_readable(self._pidfd, 0)):
                self._await_exit_code()
            return self.returncode

    def dup_pidfd(self) -> int:
        """A new pidfd of a process that still runs; the caller closes it."""
        with self._server.lock:
            return os.dup(self._pidfd)

    def _await_exit_code(self) -> None:
        """The process has ended; its exit code follows, unless the fork server has died as well."""
        self._server.wake()
        deadline = time.monotonic() + 1.0
        while self.returncode is None and time.monotonic() < deadline and self._server.alive:
            _is_readable(self._server.fileno(), 0.05)
            self._server.pump()
        if self.returncode is None:
            self.exit_code_known = False
            self.settle(255)

    def settle(self, code: int) -> None:
        """It has ended with this code."""
        if self.returncode is None:
            self.returncode = code
            if self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1

    def wait(self) -> int | None:
        """Wait until it has ended."""
        with self._server.lock:
            # A pidfd of our own: another thread may close the shared one, and its number be reused.
            fd = os.dup(self._pidfd) if self._pidfd >= 0 else -1
        if fd >= 0:
            try:
                _is_readable(fd, None)
            finally:
                os.close(fd)
        return self.poll()

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process; does nothing if it has ended."""
        with self._server.lock:
            if self.poll() is None:
                signal.pidfd_send_signal(self._pidfd, signum)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _is_readable(fd: int, seconds: float | None) -> bool:
    """Wait for a descriptor; ``select.select`` ends at descriptor 1023."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def _end_unwanted(asking: asyncio.Future[ForkedProcess]) -> None:
    if not asking.cancelled() and asking.exception() is None:
        process = asking.result()
        process.kill()
        process.wait()


class ForkServer:
    """One zygote process and its children."""

    def __init__(self, kind: Kind) -> None:
        self.alive = True
        #: Modules of the kernel itself that could not be preloaded, and why: it can do without.
        self.failed: dict[str, str] = {}
        #: The same for a module that the user has asked for, which is an error.
        self._preload_error = ""
        self._wanted = kind.preload
        self._start_timeout = SCRIPT_TIMEOUT if kind.scripts else START_TIMEOUT
        #: When it had loaded everything; None until then.
        self._ready_at: float | None = None
        self._processes: dict[int, ForkedProcess] = {}
        self._early_exits: dict[int, int] = {}
        self._answers: dict[int, concurrent.futures.Future[int]] = {}
        self._watching: Counter[asyncio.AbstractEventLoop] = Counter()
        self._next_id = 0
        #: Held while a process's descriptor is used: threads may share this server.
        self.lock = threading.RLock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
        self._socket = ours
        with theirs:
            self._process = subprocess.Popen(
                [
                    *safely([sys.executable, "-m", "kernelfleet.provisioners.zygote"]),
                    str(theirs.fileno()), str(os.getpid()),
                    *map(json.dumps, (kind.modules, kind.preload_items, kind.prepare)),
                ],
                pass_fds=[theirs.fileno()],
                env=environment_of(kind),
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

    async def fork(
        self, argv: list[str], env: Mapping[str, str], cwd: str | None, fds: list[int]
    ) -> ForkedProcess:
        """Fork a kernel; if the caller is cancelled meanwhile, the kernel is ended once it exists.

        Raises:
            PreloadError: a module of ``preload`` cannot be imported.
            ForkServerError: the fork server is gone, or could not fork.
        """
        asking = asyncio.ensure_future(self._fork(argv, env, cwd, fds))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(_end_unwanted)
            raise

    async def _fork(
        self, argv: list[str], env: Mapping[str, str], cwd: str | None, fds: list[int]
    ) -> ForkedProcess:
        answer: concurrent.futures.Future[int] = concurrent.futures.Future()
        with self.lock:
            if self._preload_error:
                raise PreloadError(self._preload_error)
            self._next_id += 1
            request_id = self._next_id
            self._answers[request_id] = answer
        request = {"id": request_id, "argv": argv, "env": dict(env), "cwd": cwd}
        loop = asyncio.get_running_loop()
        self._watch(loop)
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], fds)
            pid = await self._answer_to(answer)
        except (OSError, TimeoutError) as error:
            self.pump()
            raise ForkServerError(f"the fork server does not answer: {error}") from error
        finally:
            self._answers.pop(request_id, None)
            self._unwatch(loop)
        return self._adopt(pid)

    async def _answer_to(self, answer: concurrent.futures.Future[int]) -> int:
        """Wait for the pid.

        Raises:
            TimeoutError: it takes too long.
        """
        waiting = asyncio.wrap_future(answer)
        begun = time.monotonic()
        while True:
            self.wake()
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(waiting), WAKE_SECONDS)
            limit, since = self._start_timeout, begun
            if self._ready_at is not None:
                limit, since = FORK_TIMEOUT, max(begun, self._ready_at)
            if time.monotonic() - since > limit:
                raise TimeoutError(f"not within {limit:g} s")

    def wake(self) -> None:
        """Continue a fork server that somebody has stopped; a running one ignores SIGCONT."""
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGCONT)

    def _adopt(self, pid: int) -> ForkedProcess:
        with self.lock:
            process = self._processes[pid] = ForkedProcess(self, pid)
            code = self._early_exits.pop(pid, None)
            if code is not None:
                self._exited(pid, code)
            return process

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        with self.lock:
            if not self.alive:
                return
            self._watching[loop] += 1
            if self._watching[loop] == 1:
                loop.add_reader(self._socket, self.pump)

    def _unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop reading answers on this loop; called on the loop's own thread."""
        with self.lock:
            if self._watching[loop] == 1:
                loop.remove_reader(self._socket)
            self._watching[loop] -= 1
            self._watching += Counter()  # keeps the positive
            self._close_if_unused()

    def pump(self) -> None:
        """Read the messages of the zygote; never blocks."""
        with self.lock:
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
            self._ready_at = time.monotonic()
            self._note_failed(message["failed"])
            return
        if "exited" in message:
            self._exited(message["exited"], message["code"])
            return
        answer = self._answers.get(message["id"])
        if answer is None or answer.done():
            if "pid" in message:  # whoever asked for it has given up
                with contextlib.suppress(ProcessLookupError):
                    os.kill(message["pid"], signal.SIGKILL)
        elif "pid" in message:
            answer.set_result(message["pid"])
        else:
            answer.set_exception(ForkServerError(f"cannot fork: {message['error']}"))

    def _note_failed(self, failed: dict[str, str]) -> None:
        """Some modules could not be imported. Kernels that are forked nevertheless are ended."""
        self.failed = {name: failed[name] for name in failed if name not in self._wanted}
        wanted = [f"cannot preload {name}: {failed[name]}" for name in failed.keys() - self.failed]
        if wanted:
            self._preload_error = "; ".join(sorted(wanted))
            self._fail_answers(PreloadError(self._preload_error))

    def _exited(self, pid: int, code: int) -> None:
        process = self._processes.pop(pid, None)
        if process is None:
            self._early_exits[pid] = code
        else:
            process.settle(code)

    def _lost(self) -> None:
        """The zygote has died: its kernels live on, but their exit codes will be unknown."""
        self.alive = False
        self._fail_answers(ForkServerError("the fork server has died"))
        self._close_if_unused()
        self._process.wait()

    def _fail_answers(self, error: Exception) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(error)

    def _close_if_unused(self) -> None:
        """Remove the socket from its loop before it is closed, as its number may be reused."""
        if not self.alive and not self._watching:
            self._socket.close()

    def close(self) -> None:
        """End the zygote, and with it kernels that still run."""
        self.wake()
        self.pump()
        with self.lock:
            was_alive, self.alive = self.alive, False
            if was_alive:
                self._socket.shutdown(socket.SHUT_RDWR)
            self._fail_answers(ForkServerError("the fork server was ended"))
            self._close_if_unused()
        if self._ready_at is None:
            self._process.kill()  # still importing; it has no children yet
        try:
            self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
