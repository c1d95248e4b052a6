"""What the head of a fleet needs of a cluster: its workers, a process on some of them, and news.

Every method of a cluster may block, so the head calls it on a thread of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from kernelfleet.wire.messages.nodes import NodeReport, NodeSpec

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

#: How long a node may take from the start of its process until it says that it listens.
NODE_SECONDS = 60.0


@dataclass(frozen=True)
class Worker:
    """A place of the cluster where a node can be started.

    Attributes:
        name: What the cluster calls it.
        slots: How many threads it offers; None leaves it to the node, which counts its cores.
        resources: What else it offers, by name.
        host: What other programs that reach it call its machine; None is what that calls itself.
    """

    name: str
    slots: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    host: str | None = None


@dataclass(frozen=True)
class Installation:
    """What a worker would start a node with.

    Attributes:
        host: The name of its machine.
        executable: The path of its interpreter.
        python: The version of that.
        kernelfleet: The version of kernelfleet that is installed there; None if none is.
    """

    host: str
    executable: str
    python: str
    kernelfleet: str | None


@dataclass(frozen=True)
class Started:
    """What came of the start of a node.

    Attributes:
        installation: What it was started with; None if the worker could not be asked.
        report: What the node says of itself; None if it has said nothing.
        said: The end of what it has written to its standard error, or why there is no answer.
    """

    installation: Installation | None
    report: NodeReport | None = None
    said: str = ""


class Watcher(Protocol):
    """Is told, on whatever thread, what happens to workers and nodes."""

    def worker_came(self, worker: str) -> None:
        """A worker is there that was not there before."""

    def worker_left(self, worker: str, reason: str) -> None:
        """A worker, or the process of its node, is gone."""


class Cluster(Protocol):
    """Starts one process on each worker that it is asked for."""

    def workers(self) -> list[Worker]:
        """The workers that there are now.

        Raises:
            StartError: the cluster does not answer.
        """

    def awaited(self) -> int:
        """How many workers were asked for and have not come yet, as far as the cluster knows."""

    def start(
        self, specs: Mapping[str, NodeSpec], fits: Callable[[Installation], bool]
    ) -> dict[str, Started]:
        """Start a node on each of these workers.

        Args:
            specs: What each node is to be, by worker.
            fits: Whether what is installed there can be used; if not, no process is started.
        """

    def close(self) -> None:
        """Forget the cluster, which goes on; nodes are ended by their head."""

    @property
    def why_no_workers(self) -> str:
        """What to do if there are none."""


def in_parallel(
    call: Callable[[ItemT], ResultT], items: Iterable[ItemT], seconds: float
) -> dict[ItemT, ResultT | BaseException]:
    """Call a function with each item, all at the same time, and wait for a limited time.

    The threads are daemons: one that waits for a machine which does not answer delays nobody, and
    not the end of the process either.

    Returns:
        By item its result, or its exception; TimeoutError for one that took too long.
    """
    outcomes: dict[ItemT, ResultT | BaseException] = {}

    def run(item: ItemT) -> None:
        try:
            outcomes[item] = call(item)
        except BaseException as error:  # noqa: BLE001 (returned)
            outcomes[item] = error

    items, deadline = list(items), time.monotonic() + seconds
    threads = [
        threading.Thread(target=run, args=(item,), name="kernelfleet-cluster", daemon=True)
        for item in items
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {
        item: outcomes.get(item, TimeoutError(f"no answer within {seconds:g} s")) for item in items
    }
