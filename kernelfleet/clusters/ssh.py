"""Nodes on hosts that ssh reaches: ``cluster='ssh:host1,host2'``. Nothing else is needed there.

One ``ssh`` per host stays connected for as long as the node lives. It tells when the node ends; if
only ssh's own connection breaks, the node goes on, as it depends on its session with the head.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
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
from kernelfleet.errors.tree import StartError
from kernelfleet.wire.messages.nodes import NodeSpec

#: Says what is installed, and becomes the node, which reads what it is to be.
_BECOME_A_NODE = (
    f"import json, os, sys; print(json.dumps({INSTALLATION}), flush=True); "
    "os.execv(sys.executable, [sys.executable, '-P', '-m', 'kernelfleet.node'])"
)
#: What ssh ends with if its own connection has failed, and not the command.
CONNECTION_FAILED = 255
#: How much of what a host has said is kept.
SAID_BYTES = 16 * 1024


class SSHHosts:
    """Hosts by name, as ``ssh`` knows them: ``host1,user@host2``.

    Args:
        hosts: Their names, separated by commas; after a blank the path of the interpreter there,
            by default that of this process.
        watcher: Is told when a node has ended.

    Raises:
        StartError: no host is named, or one twice.
    """

    why_no_workers = "it has no hosts: name some, as in 'ssh:host1,host2'"

    def __init__(self, hosts: str, watcher: Watcher) -> None:
        names, _, python = hosts.partition(" ")
        self._hosts = [name.strip() for name in names.split(",") if name.strip()]
        self._python = python.strip() or sys.executable
        self._watcher = watcher
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        if not self._hosts:
            raise StartError(f"the cluster cannot be used: {self.why_no_workers}")
        if len(set(self._hosts)) < len(self._hosts):
            raise StartError("a host is named twice: per_node says how many engines it may have")
        wrong = [name for name in self._hosts if name.startswith("-")]
        if wrong:
            raise StartError(f"{wrong[0]!r} is no name of a host")

    def workers(self) -> list[Worker]:
        """One per host."""
        return [Worker(host) for host in self._hosts]

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
        command = f"exec {shlex.quote(self._python)} -P -c {shlex.quote(_BECOME_A_NODE)}"
        with tempfile.TemporaryFile() as stderr:
            process = subprocess.Popen(
                # BatchMode: a password cannot be asked for.
                ["ssh", "-T", "-o", "BatchMode=yes", "--", host, command],  # noqa: S607
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
                return Started(installation, said=_tail(stderr) or f"no answer of ssh {host}")
        self._running[host] = process
        threading.Thread(
            target=self._wait, args=(host, process), name="kernelfleet-ssh", daemon=True
        ).start()
        return Started(installation, report)

    def _wait(self, host: str, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        close_pipes(process)
        if code != CONNECTION_FAILED:
            self._watcher.worker_left(host, f"its process has ended with code {code}")

    def close(self) -> None:
        """End the connections; the nodes have ended."""
        for process in self._running.values():
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End an ssh; a node that has not read yet what it is to be ends with it."""
    close_pipes(process)
    process.terminate()
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
