"""What a fleet must not leave behind: processes, threads, descriptors, files."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import zmq
from zmq.utils import garbage

from kernelfleet.wire.files import fleet_paths
from tests.fleets import eventually


@dataclass(frozen=True)
class Leftovers:
    """What there is at one moment."""

    children: frozenset[psutil.Process]
    threads: Counter[str]
    descriptors: int
    files: frozenset[Path]

    def __sub__(self, before: Leftovers) -> list[str]:
        """What has come since, in words."""
        return [
            *(f"process {process}" for process in self.children - before.children),
            *(f"thread {name}" for name in self.threads - before.threads),
            *(f"file {path}" for path in self.files - before.files),
            *(
                [f"{self.descriptors - before.descriptors} descriptors: {open_files()}"]
                if self.descriptors > before.descriptors
                else []
            ),
        ]


def take_stock() -> Leftovers:
    """Look at this process and at the runtime directory."""
    _start_collector_of_pyzmq()
    gc.collect()  # an error that a test has caught holds frames, and they hold descriptors
    return Leftovers(
        frozenset(psutil.Process().children(recursive=True)),
        Counter(thread.name for thread in threading.enumerate()),
        len(os.listdir("/proc/self/fd")),
        runtime_files(),
    )


def _start_collector_of_pyzmq() -> None:
    """Send a large frame without a copy.

    pyzmq (27.3) then starts a thread with sockets of its own, and keeps it as long as the process
    lives; it is nobody's leftover. Started here, it is in every comparison.
    """
    if garbage.gc.is_alive():
        return
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    left, right = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    left.bind("inproc://collector")
    right.connect("inproc://collector")
    left.send(bytes(1_000_000), copy=False)
    right.recv()
    context.destroy(linger=0)


def runtime_files() -> frozenset[Path]:
    """Everything below the directory of all fleets."""
    return frozenset(fleet_paths.fleets_dir().rglob("*"))


def open_files() -> list[str]:
    """What our descriptors are, for the message."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            continue
    return sorted(found)


def assert_nothing_left(before: Leftovers, seconds: float = 5.0) -> None:
    """Nothing is there that was not ``before``; what is just ending has a moment for it."""

    def clean() -> bool:
        return not take_stock() - before

    try:
        eventually(clean, seconds)
    except AssertionError:
        raise AssertionError(f"left behind: {take_stock() - before}") from None
