"""Gauges of fleets on the ``/metrics`` of Jupyter Server, for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import PrometheusMetricsHandler
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kernelfleet.server.services import services_of
from kernelfleet.server.shapes import Fleet
from kernelfleet.server.watching import Watching

#: A scrape waits so long for fleets that do not answer; they have the figures of the last time.
PATIENCE = 2.0
#: Scrapes that come sooner after each other get the same figures.
FRESH_SECONDS = 2.0


class FleetCollector(Collector):
    """The gauges of the fleets of one server, as they were last known."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges; nothing is asked here, since this runs on the server's loop."""
        board = self._watching.board
        fleets = [fleet for name in board.names if (fleet := board.get(name)) is not None]
        yield from gauges(fleets)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing, so that two servers of one process may have a collector each."""
        return ()

    def register(self) -> None:
        """Put the gauges on ``/metrics``."""
        REGISTRY.register(self)

    def unregister(self) -> None:
        """Take them off again."""
        with contextlib.suppress(KeyError):
            REGISTRY.unregister(self)


def gauges(fleets: list[Fleet]) -> Iterator[GaugeMetricFamily]:
    """The gauges of fleets."""
    up = _gauge("up", "Whether the controller of a fleet answers")
    engines = _gauge("engines", "Engines of a fleet by state", "state")
    queue = _gauge("queue", "Requests that wait in the queues of a fleet's engines")
    executed = _gauge("executed", "Commands that the engines of a fleet have executed")
    memory = _gauge("memory_bytes", "Memory of the engines of a fleet")
    for fleet in fleets:
        name, rows = fleet["name"], fleet["engines"]
        up.add_metric([name], float(fleet["state"] == "running"))
        for state, count in fleet["counts"].items():
            engines.add_metric([name, state], count)
        queue.add_metric([name], sum(row["queue"] for row in rows))
        executed.add_metric([name], sum(row["executed"] for row in rows))
        memory.add_metric([name], sum(row["memory_bytes"] or 0 for row in rows))
    yield from (up, engines, queue, executed, memory)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"kernelfleet_{name}", text, labels=["fleet", *labels])


class MetricsHandler(PrometheusMetricsHandler):
    """The server's own ``/metrics``, with figures of the fleets that are not old."""

    @allow_unauthenticated  # (the method of the server decides by its option)
    async def get(self) -> None:  # type: ignore[override, mutable-override]
        """Ask the fleets, and answer as the server does."""
        if self.logged_in or not self.settings["authenticate_prometheus"]:
            watching = services_of(self.settings).watching
            if asyncio.get_running_loop().time() - watching.refreshed > FRESH_SECONDS:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await watching.refresh()
        super().get()


METRICS: list[tuple[str, type[MetricsHandler]]] = [(r"/metrics", MetricsHandler)]
