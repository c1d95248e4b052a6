"""What this machine is, and whether it is quiet enough to be measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time

import psutil

#: Above it other work is going on: load per core before we begin, spread of equal work.
QUIET_LOAD = 0.3
QUIET_SPREAD = 1.15

_LIBRARIES = (
    "ipykernel", "ipython", "jupyter_client", "pyzmq", "tornado", "ipyparallel", "distributed",
    "numpy", "cloudpickle",
)  # fmt: skip


def facts() -> list[str]:
    """What a reader needs to know of the machine; nothing that names it."""
    memory = psutil.virtual_memory().total / 1e9
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    return [
        f"{len(os.sched_getaffinity(0))} cores ({_processor()}), {memory:.0f} GB memory",
        f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}",
        f"kernelfleet {importlib.metadata.version('kernelfleet')}, {versions}",
    ]


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def calibrate(times: int = 20) -> list[float]:
    """How long the same small work takes, again and again."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        sum(i * i for i in range(150_000))
        seconds.append(time.perf_counter() - began)
    return seconds


def noise() -> list[str]:
    """What says that the machine is not quiet; empty if it is."""
    found = []
    load = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    if load > QUIET_LOAD:
        found.append(f"load of {load:.1f} per core before the first row")
    seconds = calibrate()
    spread = statistics.quantiles(seconds, n=10)[-1] / min(seconds)
    if spread > QUIET_SPREAD:
        found.append(f"the same work takes up to {spread:.2f} times as long")
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and all below it, to the microsecond (Linux)."""
    total = 0.0
    process = psutil.Process(pid)
    for each in [process, *process.children(recursive=True)]:
        for thread in _threads(each.pid):
            try:
                with open(f"/proc/{each.pid}/task/{thread}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0]) / 1e9
            except OSError:
                continue
    return total


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def processes_and_memory(pid: int) -> tuple[int, float]:
    """How many processes a tree has, and their memory (PSS) in MB, shared pages shared out."""
    process = psutil.Process(pid)
    tree = [process, *process.children(recursive=True)]
    sizes = []
    for each in tree:
        try:
            sizes.append(each.memory_full_info().pss / 1e6)
        except psutil.Error:
            continue
    return len(sizes), sum(sizes)
