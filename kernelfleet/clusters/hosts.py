"""Nodes on hosts by a command that runs a program there: what ``ssh`` and ``srun`` have in common.

One such command per host stays for as long as the node lives, and tells when the node ends. If only
its own connection breaks, the node goes on, as it depends on its session with the head.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from kernelfleet.clusters.base import (
    NODE_SECONDS,
    Installation,
    Started,
    Watcher,
    Worker,
    in_parallel,
)
from kernelfleet.clusters.dask_worker import INSTALLATION
from kernelfleet.wire.messages.nodes import NodeSpec

#: Says what is installed, and becomes the node, which reads what it is to be.
_BECOME_A_NODE = (
    f"import json, os, sys; print(json.dumps({INSTALLATION}), flush=True); "
    "os.execv(sys.executable, [sys.executable, '-P', '-m', 'kernelfleet.node'])"
)
#: How long such a command may take to end when it is told to.
END_SECONDS = 5.0
#: How much of what a host has said is kept.
SAID_BYTES = 16 * 1024


class Hosts(ABC):
    """Hosts by name.

    Args:
        names: Their names.
        python: The path of the interpreter there; empty for that of this process.
        watcher: Is told when a node has ended.
    """

    #: The program that runs something on a host.
    program: str
    #: What it ends with if its own connection has failed, and not what it has run.
    connection_failed: int | None = None
    why_no_workers: str

    def __init__(self, names: Sequence[str], python: str, watcher: Watcher) -> None:
        self._hosts, self._python = list(names), python or sys.executable
        self._watcher = watcher
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @abstractmethod
    def workers(self) -> list[Worker]:
        """One per host."""

    @abstractmethod
    def _run_there(self, host: str, argv: Sequence[str]) -> list[str]:
        """The command that runs a program on a host, with its standard input and output."""

    def awaited(self) -> int:
        """None: hosts are there, or fail when a node is started."""
        return 0

    def start(
        self, specs: Mapping[str, NodeSpec], fits: Callable[[Installation], bool]
    ) -> dict[str, Started]:
        """Start a node on each of these hosts."""

        def start(host: str) -> Started:
            return self._start(host, specs[host], fits)

        outcomes = in_parallel(start, specs, NODE_SECONDS)
        return {
            host: each if isinstance(each, Started) else Started(None, said=str(each))
            for host, each in outcomes.items()
        }

    def _start(self, host: str, spec: NodeSpec, fits: Callable[[Installation], bool]) -> Started:
        argv = self._run_there(host, [self._python, "-P", "-c", _BECOME_A_NODE])
        with tempfile.TemporaryFile() as stderr:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
            assert process.stdin is not None
            assert process.stdout is not None
            installation = None
            try:
                installation = Installation(**json.loads(process.stdout.readline()))
                if not fits(installation):
                    end(process)
                    return Started(installation)
                process.stdin.write(json.dumps(spec).encode() + b"\n")
                process.stdin.flush()
                report = json.loads(process.stdout.readline())
            except (ValueError, OSError):
                end(process)
                return Started(
                    installation, said=_tail(stderr) or f"no answer of {self.program} {host}"
                )
        self._running[host] = process
        threading.Thread(
            target=self._wait, args=(host, process), name="kernelfleet-host", daemon=True
        ).start()
        return Started(installation, report)

    def _wait(self, host: str, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        close_pipes(process)
        if code != self.connection_failed:
            self._watcher.worker_left(host, f"its process has ended with code {code}")

    def close(self) -> None:
        """End the connections; the nodes have ended."""
        for process in self._running.values():
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End such a command; a node that has not read yet what it is to be ends with it."""
    close_pipes(process)
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:  # srun, say, waits for a host that is gone
        process.kill()
        process.wait()


def close_pipes(process: subprocess.Popen[bytes]) -> None:
    """Close our ends of a process's pipes; harmless if they are closed."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _tail(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read()[-SAID_BYTES:].decode(errors="replace").strip()
