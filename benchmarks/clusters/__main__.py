"""The command line: six engines on this machine, on one host, on three, and others there."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import functions, machine
from benchmarks.clusters import sides
from benchmarks.peers.base import DoesNotApplyError, Peer
from tests.cluster import hosts
from tests.cluster.certificates import Certificates
from tests.cluster.dask_hosts import DaskHosts
from tests.cluster.hosts import Network

ENGINES = 6
PUSH_BYTES = 100_000_000
ITEMS = 20_000
#: A side that takes a millisecond an item or more gets fewer of them.
FEWER_ITEMS = 2_000
RESULTS = Path(__file__).resolve().parents[1] / "results"
ROOT = RESULTS.parents[1]


@dataclass
class Figures:
    """What one side took: seconds by row, of each round; and bytes into each host by a push."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    into: list[int] = field(default_factory=list)

    def add(self, row: str, seconds: float) -> None:
        self.seconds.setdefault(row, []).append(seconds)


def timed(call: Callable[[], object], times: int = 1) -> float:
    """The median of so many calls."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def measure(peer: Peer, network: Network, figures: Figures) -> None:
    """One round of one side, from its start to its end."""
    figures.add("start", timed(lambda: peer.start(ENGINES)))
    try:
        peer.execute("a = 5")
        figures.add("execute all", timed(lambda: peer.execute("a = 5"), 30))
        figures.add("execute one", timed(lambda: peer.execute_on_one("a = 5"), 30))
        figures.add("push small", timed(lambda: peer.push("small", 5), 30))
        array = functions.make_array_once(PUSH_BYTES) + np.random.default_rng().random()
        before = [network.cables.into(host) for host in network.hosts]
        figures.add("push 100 MB", timed(lambda: peer.push("big", array)))
        figures.into = [
            network.cables.into(host) - was for host, was in zip(network.hosts, before, strict=True)
        ]
        figures.add("pull 100 MB", timed(lambda: peer.pull_from_one("big")))
        n = ITEMS if isinstance(peer, sides.ClusterFleet) else FEWER_ITEMS
        peer.map(functions.increment, range(100))
        figures.add("map", timed(lambda: peer.map(functions.increment, range(n))) / n)
        with contextlib.suppress(DoesNotApplyError):
            figures.add("interrupt", sides.interrupt(peer))
    finally:
        figures.add("stop", timed(peer.stop))


def main() -> None:
    """Measure in rounds, in which the sides take turns."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clusters", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", default="local,one node,three nodes,dask,ipyparallel")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/clusters.md")
    options = parser.parse_args()
    if reason := hosts.why_not():
        sys.exit(reason)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    folder = Path(tempfile.mkdtemp(prefix="kf-b-", dir="/tmp"))
    network = Network(3, folder)
    try:
        import dask

        certificates = Certificates(folder / "certificates")
        with dask.config.set(certificates.settings):
            figures = run(network, certificates, options)
    finally:
        network.close()
        shutil.rmtree(folder, ignore_errors=True)
    text = table(figures)
    print(text)
    if options.save:
        (RESULTS / "clusters.md").write_text(text, encoding="utf-8")


def run(
    network: Network, certificates: Certificates, options: argparse.Namespace
) -> dict[str, Figures]:
    """The figures by side."""
    wanted = options.sides.split(",")
    figures = {name: Figures() for name in wanted}
    for number in range(options.rounds):
        for name in wanted:
            sys.stderr.write(f"round {number + 1}: {name}\n")
            one_round(name, network, certificates, figures[name])
            for host in network.hosts:
                host.clean()
    return figures


def one_round(name: str, network: Network, certificates: Certificates, figures: Figures) -> None:
    """A side with what it needs on the hosts, which is not timed."""
    if name == "ipyparallel":
        folder = Path(tempfile.mkdtemp(dir=network.folder))
        measure(sides.IpyparallelOnHosts(name, network, folder), network, figures)
        return
    if name == "local":
        measure(sides.ClusterFleet(name, None), network, figures)
        return
    dask_hosts = DaskHosts(network, certificates)
    try:
        used = network.hosts[:1] if name == "one node" else network.hosts
        for host in used:
            dask_hosts.worker(host, slots=ENGINES // len(used))
        dask_hosts.wait(len(used))
        side: Peer
        if name == "dask":
            side = sides.DaskOnHosts(name, dask_hosts)
        else:
            side = sides.ClusterFleet(name, dask_hosts.address)
        measure(side, network, figures)
    finally:
        dask_hosts.close()


ROWS = {
    "start": ("start of six engines", "s"),
    "execute all": ("`execute` on all", "ms"),
    "execute one": ("`execute` on one", "ms"),
    "push small": ("push of a small value to all", "ms"),
    "push 100 MB": ("push of 100 MB to all", "s"),
    "pull 100 MB": ("pull of 100 MB from one", "s"),
    "map": ("`map` over trivial items", "/s"),
    "interrupt": ("interrupt of all, which loop", "ms"),
    "stop": ("stop", "s"),
}


def table(figures: dict[str, Figures]) -> str:
    """As Markdown."""
    lines = [
        "# Six engines on three machines",
        "",
        *(f"- {fact}" for fact in machine.facts()),
        "- The machines are network namespaces: all of them, and the client, share these cores.",
        f"- Load when it ended: {os.getloadavg()[0]:.1f}. Medians of "
        f"{max(len(each.seconds['start']) for each in figures.values())} rounds, [least..most].",
        "",
        f"| | {' | '.join(figures)} |",
        f"|---|{'---|' * len(figures)}",
    ]
    for row, (title, unit) in ROWS.items():
        cells = [_cell(each.seconds.get(row), unit) for each in figures.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    into = [_megabytes(each.into) for each in figures.values()]
    lines.append(f"| bytes into each machine by that push, MB | {' | '.join(into)} |")
    return "\n".join(lines) + "\n"


def _cell(seconds: list[float] | None, unit: str) -> str:
    if not seconds:
        return ""

    def show(value: float) -> str:
        if unit == "/s":
            return f"{1 / value:,.0f}"
        return f"{value * 1000:.1f}" if unit == "ms" else f"{value:.2f}"

    return f"{show(statistics.median(seconds))} {unit} [{show(min(seconds))}..{show(max(seconds))}]"


def _megabytes(into: list[int]) -> str:
    return ", ".join(f"{each / 1e6:.1f}" for each in into if each > 1e6) or "0"


if __name__ == "__main__":
    main()
