"""A thousand engines on fifty nodes: what client and head take, from ten engines on.

``python -m benchmarks.clusters.many`` has real doors, sessions and encryption, in a second process
that plays the nodes; their engines answer at once. So it measures client and head alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from benchmarks import machine
from kernelfleet import Fleet, __version__
from kernelfleet.clusters.base import Installation, Started, Worker
from kernelfleet.head import pool
from kernelfleet.wire.messages.nodes import NodeSpec

ENGINES_PER_NODE = 20
NODES = (1, 2, 5, 10, 20, 50)
CALLS = 100
PUSH_BYTES = 10_000_000
RESULTS = Path(__file__).resolve().parents[1] / "results"


class SimulatedCluster:
    """As many workers as asked for; their nodes are played by one process."""

    why_no_workers = "there are none"

    def __init__(self, n: int, slots: int) -> None:
        self._workers = [Worker(f"worker{number}", slots) for number in range(n)]
        self.process: subprocess.Popen[str] | None = None

    def workers(self) -> list[Worker]:
        """All of them."""
        return self._workers

    def awaited(self) -> int:
        """None are missing."""
        return 0

    def start(
        self, specs: Mapping[str, NodeSpec], fits: Callable[[Installation], bool]
    ) -> dict[str, Started]:
        """Have the process open a door for each."""
        del fits
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.clusters.simulated"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "KERNELFLEET_SHARED_MEMORY": "0"},  # so that bytes travel
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(list(specs.values())) + "\n")
        self.process.stdin.flush()
        reports = json.loads(self.process.stdout.readline())
        here = Installation(platform.node(), sys.executable, platform.python_version(), __version__)
        return {name: Started(here, report) for name, report in zip(specs, reports, strict=True)}

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.communicate()


def measure(nodes: int, per_node: int) -> dict[str, float]:
    """What a fleet of so many engines takes."""
    cluster = SimulatedCluster(nodes, per_node)
    process = psutil.Process()
    before = {"fds": process.num_fds(), "threads": threading.active_count()}
    began = time.perf_counter()
    with (
        mock.patch.object(pool, "open_cluster", return_value=cluster),
        Fleet(nodes * per_node, cluster="simulated") as mec,
    ):
        start = time.perf_counter() - began
        for _ in range(5):
            mec.execute("a = 5")
        taken, cpu = [], process.cpu_times()
        for _ in range(CALLS):
            began = time.perf_counter()
            mec.execute("a = 5")
            taken.append(time.perf_counter() - began)
        now = process.cpu_times()
        used = (now.user - cpu.user + now.system - cpu.system) / CALLS
        one = []
        for _ in range(CALLS):
            began = time.perf_counter()
            mec.execute("a = 5", targets=0)
            one.append(time.perf_counter() - began)
        data, cpu = os.urandom(PUSH_BYTES), process.cpu_times()
        began = time.perf_counter()
        mec.push({"data": data})
        push = time.perf_counter() - began
        now = process.cpu_times()
        pushing = now.user - cpu.user + now.system - cpu.system
        return {
            "push": push, "pushing": pushing, "engines": len(mec), "start": start,
            "execute": statistics.median(taken), "cpu": used, "one": statistics.median(one),
            "fds": process.num_fds() - before["fds"], "threads": process.num_threads(),
            "memory": process.memory_info().rss / 1e6,
        }  # fmt: skip


def main() -> None:
    """Measure each size in a process of its own, so that memory is that of this size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clusters.many", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="*", default=NODES)
    parser.add_argument("--per-node", type=int, default=ENGINES_PER_NODE)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/many.md")
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure(options.one, options.per_node)))
        return
    rows = []
    for nodes in options.nodes:
        said = subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.clusters.many"),
                *("--one", str(nodes), "--per-node", str(options.per_node)),
            ],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        rows.append({"nodes": nodes, **json.loads(said.stdout)})
        sys.stderr.write(f"{rows[-1]}\n")
    text = table(rows)
    print(text)
    if options.save:
        (RESULTS / "many.md").write_text(text, encoding="utf-8")


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = [
        "# Many engines on many nodes, simulated",
        "",
        *(f"- {fact}" for fact in machine.facts()),
        f"- Load when it ended: {os.getloadavg()[0]:.1f}. A second process plays the nodes: real",
        "  doors, sessions and encryption; engines answer at once. Descriptors are those that the",
        "  fleet has added; threads and memory (RSS) are those of the process of client and head.",
        "",
        "| nodes x engines | start | `execute` on all | its CPU | `execute` on one | descriptors | "
        "threads | memory | push of 10 MB to all, CPU of the head |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['nodes']} x {row['engines'] // row['nodes']} = {row['engines']} "
        f"| {row['start']:.2f} s | {row['execute'] * 1000:.1f} ms | {row['cpu'] * 1000:.1f} ms "
        f"| {row['one'] * 1000:.2f} ms | {row['fds']} | {row['threads']} "
        f"| {row['memory']:.0f} MB | {row['push']:.2f} s, {row['pushing']:.2f} s |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
