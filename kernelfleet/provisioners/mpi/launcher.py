"""One run of a launcher: its process, what it writes, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kernelfleet.provisioners.mpi.rank import NOT_HERE
from kernelfleet.wire.files.private_files import open_any, open_private

#: How long the launcher may take to end when its ranks have; then it is told to, and then killed.
END_SECONDS = 2.0
#: How long the system may take to end a launcher that was killed.
KILLED_SECONDS = 5.0
#: How much of what the launcher has written an error quotes.
QUOTED_CHARACTERS = 2000


class LauncherRun:
    """``mpiexec``, ``srun`` or the like, running.

    Args:
        argv: Its command.
        environment: Its whole environment.
        cwd: Where it runs.
        log: The file for what it writes.

    Raises:
        OSError: its program cannot be run.
    """

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], cwd: str | None, log: Path
    ) -> None:
        self._log = log
        written = open_private(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        try:
            self.process = subprocess.Popen(
                argv, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=written,
                stderr=written, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(written)

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self.process.poll()

    @property
    def has_failed(self) -> str:
        """That it will not start more ranks, and why; empty while it may."""
        _, found, refusal = self.words().partition(NOT_HERE)
        if found:  # the launcher might wait for the others
            return refusal.splitlines()[0].strip()
        code = self.code
        if code is None:
            return ""
        return f"the MPI launcher ended with exit code {code} while starting{self.quoted}"

    @property
    def quoted(self) -> str:
        """What it has written, as the end of a sentence."""
        words = self.words()[-QUOTED_CHARACTERS:].strip()
        return f"; it has written:\n{words}" if words else ""

    def words(self) -> str:
        """What it has written."""
        with contextlib.suppress(OSError), os.fdopen(open_any(self._log), errors="replace") as file:
            return file.read()
        return ""

    async def close(self) -> None:
        """Its ranks may end: wait until it has tidied up and ended, or end it."""
        for signum in (0, signal.SIGTERM):
            if signum:
                self._signal(signum)
            if await self.ended(END_SECONDS):
                return
        self._signal(signal.SIGKILL)
        await self.ended(KILLED_SECONDS)

    def _signal(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signum)

    async def ended(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""
        if self.process.poll() is not None:
            return True
        loop, fd = asyncio.get_running_loop(), os.pidfd_open(self.process.pid)
        ended = asyncio.Event()
        loop.add_reader(fd, ended.set)
        try:
            await asyncio.wait_for(ended.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(fd)
            os.close(fd)
        return self.process.poll() is not None
