"""Ranks: the ranks of one world that are on this machine, as their keepers have reported them.

What starts them, and what else is known of the world, is said by the subclasses: ``world.World``
has its launcher on this machine, ``part.PartOfWorld`` is told of it by the head of a cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kernelfleet.provisioners.mpi.rank import MAX_PACKET_BYTES
from kernelfleet.provisioners.mpi.verdict import Ending, Verdict

#: How long all ranks together may take to report. A batch system may take a while to place them.
START_SECONDS = 60.0
#: How long to wait for word of who has ended first, before the launcher's own words are read.
WORD_SECONDS = 0.3
#: How long whoever has started a rank may take to say how it has ended, as long as it is there: on
#: a machine under load it may not get to run for a while.
HOW_SECONDS = 2.0


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


class Ranks(ABC):
    """The ranks of a world that have reported here.

    Args:
        n: How many ranks the world has.
        path: The socket at which they report.
    """

    def __init__(self, n: int, path: Path) -> None:
        self.n = n
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._connections: dict[socket.socket, int | None] = {}
        self._reported: dict[int, asyncio.Future[socket.socket]] = {}
        self._kernels: dict[int, asyncio.Future[RankProcess]] = {}
        self._endings: dict[int, Ending] = {}
        self._killed: set[int] = set()
        self._launcher_lost = False
        self._news = asyncio.Event()

    # -- starting ------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Listen where the ranks report.

        Raises:
            OSError: somebody listens there already.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.setblocking(False)
            os.fchmod(listener.fileno(), 0o600)  # for the socket's file, which bind makes
            listener.bind(str(self._path))
            listener.listen(self.n)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._loop.add_reader(listener.fileno(), self._accept)

    @abstractmethod
    def start(
        self, environment: Mapping[str, str], cwd: str | None, watch: Callable[[int], object]
    ) -> None:
        """See that the launcher runs, where it is ours to start.

        Args:
            environment: That of an engine, without what is of that engine alone.
            cwd: Where the launcher runs.
            watch: Called with the launcher's process id.
        """

    @abstractmethod
    def _check(self) -> None:
        """Raise WorldError if a rank that has not come will not come any more."""

    @abstractmethod
    def _variables(self, environment: Mapping[str, str]) -> dict[str, Any]:
        """What a kernel's environment is to be, as a rank is told it."""

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
                task = {"argv": argv, "cwd": cwd, **self._variables(environment)}
                try:
                    socket.send_fds(connection, [json.dumps(task).encode()], [log])
                except OSError as error:
                    raise WorldError(f"rank {rank} has ended: {error}") from error
                process: RankProcess = await self._when_there(self._future(self._kernels, rank))
                return process
        except TimeoutError:
            raise WorldError(self._too_late()) from None

    def _too_late(self) -> str:
        there = sum(each.done() for each in self._reported.values())
        return (
            f"the MPI launcher has started {there} of {self.n} ranks within {START_SECONDS:g} s"
            f"{self._quoted()}"
        )

    def _future(self, futures: dict[int, asyncio.Future[Any]], rank: int) -> asyncio.Future[Any]:
        if rank not in futures:
            futures[rank] = self._loop.create_future()
        return futures[rank]

    async def _when_there(self, future: asyncio.Future[Any]) -> Any:
        """Wait for a future, as long as it can still be resolved."""
        while not future.done():
            self._check()
            await asyncio.wait([future], timeout=0.1)
        return future.result()

    def _quoted(self) -> str:
        """What the launcher has written, as the end of a sentence."""
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
            rank = self._connections.pop(connection, None)
            connection.close()
            self._gone(rank)
        else:
            self._hear(connection, json.loads(packet))
        self._news.set()

    def _gone(self, rank: int | None) -> None:  # noqa: B027 (on one machine there is nothing to do)
        """A keeper is gone, though it was not let go: somebody has killed it."""

    def _hear(self, connection: socket.socket, message: dict[str, Any]) -> None:
        rank = self._connections[connection]
        if "error" in message:
            self._fail(str(message["error"]))
        elif "rank" in message:
            rank = self._connections[connection] = message["rank"]
            assert rank is not None
            reported = self._future(self._reported, rank)
            if problem := problem_of_rank(
                rank, message["size"], self.n, is_new=not reported.done()
            ):
                self._fail(problem)
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
            self._ended(rank, message["ended"], told=message["told"])

    def _ended(self, rank: int, code: int, *, told: bool) -> None:
        self._endings.setdefault(rank, Ending(code, rank in self._killed or told))
        process = self._kernels.get(rank)
        if process is not None and process.done():
            process.result().settle(code)

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
                future.result().kill()  # it may have been forked just now, and lead no group yet

    @abstractmethod
    async def verdict(self, kernels_words: Callable[[], str]) -> Verdict:
        """Who has ended the world, once that is known.

        Args:
            kernels_words: Gives what the kernels have written to their logs.
        """

    async def close(self) -> None:
        """Let the ranks go."""
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


def problem_of_rank(rank: int, size: int | None, n: int, *, is_new: bool) -> str:
    """What is wrong with a rank that reports; empty if nothing is.

    Args:
        rank: Which it is.
        size: Of how many, if its launcher has said so.
        n: How many were wanted.
        is_new: Whether no other one has reported under this number.
    """
    if size not in (None, n) or rank >= n:
        return f"the launcher has started {size or 'more'} ranks, not {n}"
    if not is_new:
        return (
            f"the launcher has started rank {rank} more than once: the ranks do not know of each "
            "other"
        )
    return ""
