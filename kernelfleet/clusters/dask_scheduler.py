"""The function that runs on a Dask scheduler, so that ``adapt()`` leaves workers with nodes alone.

Dask knows nothing of what a worker does for us: to ``adapt()`` it is idle, and the first to be
closed. The scheduler has no hook for that decision (distributed 2026.8), so the method that makes
it is wrapped. It holds for as long as our client of the cluster is connected. Whoever scales the
cluster down by hand, or retires a worker, still gets what was asked for.

The function travels as code, so it may use nothing of this package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def keeper() -> Callable[..., Any]:
    """The function; it is made in a function, so that cloudpickle sends it by its code."""

    def keep(client: str, workers: list[str], dask_scheduler: Any) -> None:
        held = dask_scheduler.__dict__.setdefault("_kernelfleet_workers", {})
        held[client] = set(workers)
        if "_kernelfleet_choose" in dask_scheduler.__dict__:
            return
        choose = dask_scheduler._kernelfleet_choose = dask_scheduler.workers_to_close

        def workers_to_close(*args: Any, attribute: str = "address", **options: Any) -> list[Any]:
            present = {each for each in held if each in dask_scheduler.clients}
            with_nodes = {
                getattr(dask_scheduler.workers[address], attribute)
                for each in present
                for address in held[each]
                if address in dask_scheduler.workers
            }
            chosen = choose(*args, attribute=attribute, **options)
            return [each for each in chosen if each not in with_nodes]

        dask_scheduler.workers_to_close = workers_to_close
        dask_scheduler.handlers["workers_to_close"] = workers_to_close

    return keep
