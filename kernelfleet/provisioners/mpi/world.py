"""World: one run of the launcher, and the ranks that have reported from it.

It lives on one event loop. The launcher is started with the first rank that is wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kernelfleet.provisioners.mpi import command
from kernelfleet.provisioners.mpi.rank import MAX_PACKET_BYTES
from kernelfleet.provisioners.mpi.verdict import Ending, Verdict, judge
from kernelfleet.wire.files.private_files import open_any, open_private

#: How long all ranks together may take to report. A batch system may take a while to place them.
START_SECONDS = 60.0
#: How long the launcher may take to end when its ranks have; then it is told to, and then killed.
END_SECONDS = 2.0
#: How long to wait for word of who has ended first, before the launcher's own words are read.
WORD_SECONDS = 0.3
#: How long whoever has started a rank may take to say how it has ended, as long as it is there: on
#: a machine under load it may not get to run for a while.
HOW_SECONDS = 2.0
#: How much of what the launcher has written an error quotes.
QUOTED_CHARACTERS = 2000

_numbers = itertools.count()


class WorldError(RuntimeError):
    """The launcher did not start the ranks that were wanted."""


class RankProcess:
    """The methods of Popen that jupyter_client uses, for the kernel of one rank."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        #: False if nobody has told how it ended.
        self.exit_code_known = True
        self._pidfd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.returncode is None and _is_readable(self._pidfd):
            self.exit_code_known = False
            self.settle(255)
        return self.returncode

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, though it may not be known yet how."""
        return self.returncode is not None or _is_readable(self._pidfd)

    def settle(self, code: int) -> None:
        """It has ended with this code."""
        if self.returncode is None:
            self.returncode = code
            os.close(self._pidfd)

    def dup_pidfd(self) -> int:
        """A new descriptor that becomes readable at its end; the caller closes it."""
        return os.dup(self._pidfd)

    def wait(self) -> int | None:
        """Wait until it has ended."""
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            poll.poll()
        return self.poll()

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process; does nothing if it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signum)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


class World:
    """One run of the launcher.

    Args:
        n: How many ranks.
        template: The launcher's command; None looks for mpiexec.
        directory: A private directory for the ranks' socket.
        log: The file for what the launcher writes.
    """

    def __init__(self, n: int, template: str | None, directory: Path, log: Path) -> None:
        self.n = n
        self.process: subprocess.Popen[bytes] | None = None
        self._template, self._log = template, log
        self._path = directory / f"mpi{next(_numbers)}.sock"
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._connections: dict[socket.socket, int | None] = {}
        self._reported: dict[int, asyncio.Future[socket.socket]] = {}
        self._kernels: dict[int, asyncio.Future[RankProcess]] = {}
        self._environment: dict[str, str] = {}
        self._endings: dict[int, Ending] = {}
        self._killed: set[int] = set()
        self._launcher_lost = False
        self._failure: Exception | None = None
        self._news = asyncio.Event()

    # -- starting ------------------------------------------------------------------------------

    def start(
        self, environment: Mapping[str, str], cwd: str | None, watch: Callable[[int], object]
    ) -> None:
        """Run the launcher, once.

        Args:
            environment: That of an engine, without what is of that engine alone.
            cwd: Where the launcher runs.
            watch: Called with the launcher's process id.

        Raises:
            NoLauncherError: there is no mpiexec.
            OSError: the launcher's program cannot be run.
        """
        if self._failure is not None:
            raise self._failure
        if self.process is None:
            try:
                self.process = self._start(environment, cwd)
            except Exception as error:
                self._failure = error
                raise
            watch(self.process.pid)

    def _start(self, environment: Mapping[str, str], cwd: str | None) -> subprocess.Popen[bytes]:
        argv = command.command(self.n, self._template, self._path)
        self._environment = command.environment(self.n, environment)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.setblocking(False)
        self._listener.bind(str(self._path))
        self._listener.listen(self.n)
        self._loop.add_reader(self._listener.fileno(), self._accept)
        log = open_private(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        try:
            return subprocess.Popen(
                argv, env=self._environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(log)

    async def launch(
        self, rank: int, argv: list[str], environment: Mapping[str, str], cwd: str | None, log: int
    ) -> RankProcess:
        """Have a rank become a kernel.

        Args:
            rank: Which.
            argv: The kernel's command, for this interpreter.
            environment: The kernel's whole environment; what the launcher has added is added.
            cwd: Its working directory.
            log: A descriptor for what it writes.

        Raises:
            WorldError: the launcher has not started such a rank.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                connection = await self._when_there(self._future(self._reported, rank))
                task = {
                    "argv": argv,
                    "set": {
                        name: value
                        for name, value in environment.items()
                        if self._environment.get(name) != value
                    },
                    "unset": [name for name in self._environment if name not in environment],
                    "cwd": cwd,
                }
                try:
                    socket.send_fds(connection, [json.dumps(task).encode()], [log])
                except OSError as error:
                    raise WorldError(f"rank {rank} has ended: {error}") from error
                process: RankProcess = await self._when_there(self._future(self._kernels, rank))
                return process
        except TimeoutError:
            there = sum(each.done() for each in self._reported.values())
            raise WorldError(
                f"the MPI launcher has started {there} of {self.n} ranks within "
                f"{START_SECONDS:g} s{self._quoted()}"
            ) from None

    def _future(self, futures: dict[int, asyncio.Future[Any]], rank: int) -> asyncio.Future[Any]:
        if rank not in futures:
            futures[rank] = self._loop.create_future()
        return futures[rank]

    async def _when_there(self, future: asyncio.Future[Any]) -> Any:
        """Wait for a future, as long as the launcher runs."""
        assert self.process is not None
        while not future.done():
            if self.process.poll() is not None:
                code = self.process.returncode
                raise WorldError(
                    f"the MPI launcher ended with exit code {code} while starting{self._quoted()}"
                )
            await asyncio.wait([future], timeout=0.1)
        return future.result()

    def _quoted(self) -> str:
        words = self.words()[-QUOTED_CHARACTERS:].strip()
        return f"; it has written:\n{words}" if words else ""

    def words(self) -> str:
        """What the launcher has written."""
        with contextlib.suppress(OSError), os.fdopen(open_any(self._log), errors="replace") as file:
            return file.read()
        return ""

    # -- what ranks say ------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_PACKET_BYTES)
            self._connections[connection] = None
            self._loop.add_reader(connection.fileno(), self._read, connection)

    def _read(self, connection: socket.socket) -> None:
        try:
            packet = connection.recv(MAX_PACKET_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._loop.remove_reader(connection.fileno())
            self._connections.pop(connection, None)
            connection.close()
        else:
            self._hear(connection, json.loads(packet))
        self._news.set()

    def _hear(self, connection: socket.socket, message: dict[str, Any]) -> None:
        rank = self._connections[connection]
        if "error" in message:
            self._fail(str(message["error"]))
        elif "rank" in message:
            rank = self._connections[connection] = message["rank"]
            assert rank is not None
            reported = self._future(self._reported, rank)
            size = message["size"]
            if size not in (None, self.n) or rank >= self.n:
                self._fail(f"the launcher has started {size or 'more'} ranks, not {self.n}")
            elif reported.done():
                self._fail(
                    f"the launcher has started rank {rank} more than once: the ranks do not know "
                    "of each other"
                )
            else:
                reported.set_result(connection)
        elif rank is None:
            return
        elif "kernel" in message:
            with contextlib.suppress(ProcessLookupError):
                self._future(self._kernels, rank).set_result(RankProcess(message["kernel"]))
        elif "launcher" in message:
            self._launcher_lost = True
        elif "ended" in message:
            self._endings.setdefault(
                rank, Ending(message["ended"], rank in self._killed or message["told"])
            )
            process = self._kernels.get(rank)
            if process is not None and process.done():
                process.result().settle(message["ended"])

    def _fail(self, text: str) -> None:
        for rank in range(self.n):
            future = self._future(self._reported, rank)
            if not future.done():
                future.set_exception(WorldError(text + self._quoted()))
                future.exception()  # (maybe nobody asks)

    # -- ending --------------------------------------------------------------------------------

    async def how_it_ended(self, rank: int) -> None:
        """Wait until it is known how a rank that has ended did so, or nobody is left to tell."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HOW_SECONDS):
                while rank not in self._endings and rank in self._connections.values():
                    self._news.clear()
                    await self._news.wait()

    def end_all(self) -> None:
        """A rank has ended unasked, or the world is no longer wanted: kill all kernels."""
        for rank, future in self._kernels.items():
            if future.done() and not future.result().has_ended:
                self._killed.add(rank)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(future.result().pid, signal.SIGKILL)
                future.result().kill()  # it was just forked, and has no group

    async def verdict(self, kernels_words: Callable[[], str]) -> Verdict:
        """Who has ended the world, once that is known.

        Args:
            kernels_words: Gives what the kernels have written to their logs.
        """

        def is_open() -> bool:
            told = all(each.told for each in self._endings.values())
            return told and bool(self._connections) and len(self._endings) < len(self._kernels)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WORD_SECONDS):
                while is_open():
                    self._news.clear()
                    await self._news.wait()
        if all(each.told for each in self._endings.values()):
            await self._launcher_ended(WORD_SECONDS)
        code = None if self.process is None else self.process.poll()
        words = self.words() + kernels_words()
        return judge(self._endings, words, code, launcher_lost=self._launcher_lost)

    async def close(self) -> None:
        """Let the ranks go, wait until the launcher has tidied up and ended, or end it."""
        self.end_all()
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)
        for connection in list(self._connections):
            self._loop.remove_reader(connection.fileno())
            connection.close()
        self._connections.clear()
        if self.process is None:
            return
        for signum, seconds in ((0, END_SECONDS), (signal.SIGTERM, END_SECONDS)):
            if signum:
                self._signal(signum)
            if await self._launcher_ended(seconds):
                return
        self._signal(signal.SIGKILL)
        await self._launcher_ended(END_SECONDS)

    def _signal(self, signum: int) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signum)

    async def _launcher_ended(self, seconds: float) -> bool:
        """Wait for the end of the launcher; whether it came."""
        if self.process is None or self.process.poll() is not None:
            return True
        fd = os.pidfd_open(self.process.pid)
        ended = asyncio.Event()
        self._loop.add_reader(fd, ended.set)
        try:
            await asyncio.wait_for(ended.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            self._loop.remove_reader(fd)
            os.close(fd)
        return self.process.poll() is not None
