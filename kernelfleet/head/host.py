"""A whole fleet on a cluster: its directory, its nodes, registry and head, put together."""

from __future__ import annotations

from logging import Logger
from typing import Any

import zmq

from kernelfleet.controller.base import BaseController
from kernelfleet.controller.host import FleetHost
from kernelfleet.controller.limits import make_limits
from kernelfleet.head.head import Head
from kernelfleet.head.operations import CALLS
from kernelfleet.head.pool import NodePool
from kernelfleet.head.registry import NodeRegistry


class ClusterHost(FleetHost):
    """A running head with its nodes."""

    def _make_controller(self, context: zmq.Context[Any], log: Logger) -> BaseController[Any]:
        del context  # that of clients
        options = self._options
        self._pool = NodePool(log, options)
        self._nodes = NodeRegistry(self._pool, log, options)
        return Head(
            options.name,
            self._nodes,
            CALLS,
            log,
            self.stop_requested.set,
            limits=make_limits(options.limits),
            kernel_name=options.kernels[0] if options.kernels else options.kernel,
        )

    async def _start(self) -> None:
        await self._pool.open()
        kernels = self._options.kernels
        slots = await self._pool.slots(len(kernels) or None)
        await self._nodes.add(kernels or (self._options.kernel,) * slots)

    def _count_engines(self) -> tuple[int, int] | None:
        wanted = len(self._nodes.engines) or len(self._options.kernels)
        return (len(self._nodes.ids), wanted) if wanted else None
