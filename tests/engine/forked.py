"""Starts an engine from a fork server, and looks at it as at a ``Popen``."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
from pathlib import Path

from kernelfleet.provisioners.forkserver import ForkedProcess, ForkServer


class Forked:
    """As much of a Popen as the tests use."""

    def __init__(self, process: ForkedProcess) -> None:
        self.process = process
        self.pid = process.pid
        self.poll = process.poll
        self.send_signal = process.send_signal

    def wait(self, timeout: float) -> int | None:
        """Wait until it has ended; its exit code."""
        if self.poll() is None:
            poll, pidfd = select.poll(), os.pidfd_open(self.pid)
            poll.register(pidfd, select.POLLIN)
            ended = poll.poll(timeout * 1000)
            os.close(pidfd)
            if not ended:
                raise subprocess.TimeoutExpired("an engine", timeout)
        return self.poll()


def fork(server: ForkServer, command: list[str], env: dict[str, str], log: int) -> Forked:
    """Fork an engine."""
    here = str(Path.cwd())
    return Forked(asyncio.run(server.fork(command, env, here, [log, log])))
