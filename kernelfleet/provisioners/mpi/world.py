"""World: one run of the launcher on this machine, and the ranks that have reported from it.

It lives on one event loop. The launcher is started with the first rank that is wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kernelfleet.provisioners.mpi import command
from kernelfleet.provisioners.mpi.launcher import LauncherRun
from kernelfleet.provisioners.mpi.ranks import WORD_SECONDS, Ranks, WorldError
from kernelfleet.provisioners.mpi.verdict import Verdict, judge

_numbers = itertools.count()


class World(Ranks):
    """One run of the launcher.

    Args:
        n: How many ranks.
        template: The launcher's command; None looks for mpiexec.
        directory: A private directory for the ranks' socket.
        log: The file for what the launcher writes.
    """

    def __init__(self, n: int, template: str | None, directory: Path, log: Path) -> None:
        super().__init__(n, directory / f"mpi{next(_numbers)}.sock")
        self._template, self._log = template, log
        self._run: LauncherRun | None = None
        self._environment: dict[str, str] = {}
        self._failure: Exception | None = None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """That of the launcher; None if it has not been started."""
        return None if self._run is None else self._run.process

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
        if self._run is None:
            try:
                self._run = self._start(environment, cwd)
            except Exception as error:
                self._failure = error
                raise
            watch(self._run.process.pid)

    def _start(self, environment: Mapping[str, str], cwd: str | None) -> LauncherRun:
        argv = command.command(self.n, self._template, self._path)
        self._environment = command.environment(self.n, environment)
        self._listen()
        return LauncherRun(argv, self._environment, cwd, self._log)

    def _variables(self, environment: Mapping[str, str]) -> dict[str, Any]:
        wanted = {**command.settings_of_ranks(self.n), **environment}
        given = self._environment
        return {
            "set": {name: value for name, value in wanted.items() if given.get(name) != value},
            "unset": [name for name in given if name not in wanted],
        }

    def _check(self) -> None:
        assert self._run is not None
        if failure := self._run.has_failed:
            raise WorldError(failure)

    def _quoted(self) -> str:
        return "" if self._run is None else self._run.quoted

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
        run = self._run
        if run is not None and all(each.told for each in self._endings.values()):
            await run.ended(WORD_SECONDS)
        words, code = ("", None) if run is None else (run.words(), run.code)
        return judge(
            self._endings, words + kernels_words(), code, launcher_lost=self._launcher_lost
        )

    async def close(self) -> None:
        """Let the ranks go, wait until the launcher has tidied up and ended, or end it."""
        await super().close()
        if self._run is not None:
            await self._run.close()
