"""One side in a process of its own: ``Driver`` is the end that asks, ``main`` the one that works.

A client of a peer may patch libraries, start threads and poll; what it does so must burden itself
alone.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing.connection
import os
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks import peers, rows
from benchmarks.machine import cpu_seconds
from benchmarks.peers.base import DoesNotApplyError, Peer
from benchmarks.row import Row, digest

#: Nothing here takes longer; a side that hangs fails the run.
TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class Measured:
    """One round of one row on one side."""

    seconds: list[float]
    #: Processor time per call, of client and engines together.
    cpu_seconds: float
    digest: str


class DriverError(RuntimeError):
    """The side failed; its traceback is the text."""


class Driver:
    """A side's process, which does one thing at a time."""

    def __init__(self, side: str) -> None:
        self.side = side
        self.spawned = time.perf_counter()
        ours, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.driver", side, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.DEVNULL,
            )
        self._channel = ours

    @property
    def pid(self) -> int:
        return self._process.pid

    def _ask(self, *request: Any) -> Any:
        self._channel.send(request)
        if not self._channel.poll(TIMEOUT_SECONDS):
            raise DriverError(f"{self.side} hangs in {request[0]}")
        try:
            status, value = self._channel.recv()
        except EOFError:
            raise DriverError(f"{self.side} has died in {request[0]}") from None
        if status == "error":
            raise DriverError(f"{self.side}: {value}")
        return value

    def load(self) -> None:
        """Import what the side needs."""
        self._ask("load")

    def start(self, n: int) -> float:
        """Start engines; how long it took, with everything imported."""
        seconds: float = self._ask("start", n)
        return seconds

    def measure(self, row: Row, calls: int) -> Measured | None:
        """One round; None where it does not apply."""
        measured: Measured | None = self._ask("measure", row.name, calls)
        return measured

    def stop(self) -> float:
        """End the engines; how long it took."""
        seconds: float = self._ask("stop")
        return seconds

    def close(self) -> None:
        """End the process, and for certain all it has started."""
        family = psutil.Process(self.pid).children(recursive=True)
        self._channel.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for each in family:
            with contextlib.suppress(psutil.Error):
                each.kill()


class _Works:
    """What a driver's process does, by request."""

    def __init__(self, side: str) -> None:
        self.side = side
        self.peer: Peer | None = None
        self.running = False

    def load(self) -> None:
        self.peer = peers.make(self.side)

    def start(self, n: int) -> float:
        assert self.peer is not None
        began = time.perf_counter()
        self.running = True
        self.peer.start(n)
        return time.perf_counter() - began

    def measure(self, name: str, calls: int) -> Measured | None:
        try:
            return self._measure(rows.named(name), calls)
        except DoesNotApplyError:
            return None

    def _measure(self, row: Row, calls: int) -> Measured:
        assert self.peer is not None
        size = row.size_for(self.side)
        row.prepare(self.peer)
        for _ in range(row.warm_up):
            row.work(self.peer, size)
        seconds = []
        gc.collect()
        cpu = cpu_seconds(os.getpid())
        for _ in range(calls):
            value = None  # what the call before has brought must not be in the way
            began = time.perf_counter()
            value = row.work(self.peer, size)
            seconds.append(time.perf_counter() - began)
        cpu = (cpu_seconds(os.getpid()) - cpu) / calls
        return Measured(seconds, cpu, digest(row.outcome(self.peer, value, size)))

    def stop(self) -> float:
        assert self.peer is not None
        began = time.perf_counter()
        self.running = False
        self.peer.stop()
        return time.perf_counter() - began


def main() -> None:
    """Do what is asked until nobody asks any more."""
    works = _Works(sys.argv[1])
    channel = multiprocessing.connection.Connection(int(sys.argv[2]))
    while True:
        try:
            request, *arguments = channel.recv()
        except (EOFError, KeyboardInterrupt):
            break
        try:
            answer: tuple[str, Any] = ("ok", getattr(works, request)(*arguments))
        except Exception:  # noqa: BLE001 (told to who asked)
            answer = ("error", traceback.format_exc())
        channel.send(answer)
    if works.running:
        works.stop()


if __name__ == "__main__":
    # as a module with a name: what it sends can be loaded at the other end
    from benchmarks.driver import main as named_main

    named_main()
