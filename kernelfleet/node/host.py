"""A whole node: directory, launcher, registry and controller, as of any fleet, without engines."""

from __future__ import annotations

from logging import Logger
from typing import Any

import zmq

from kernelfleet.controller.base import BaseController
from kernelfleet.controller.host import FleetHost
from kernelfleet.controller.limits import make_limits
from kernelfleet.node.controller import NodeController
from kernelfleet.node.operations import CALLS


class NodeHost(FleetHost):
    """A running node. Its engines come when the head asks for them."""

    node: NodeController

    def _make_controller(self, context: zmq.Context[Any], log: Logger) -> BaseController[Any]:
        self.registry = self._make_registry(context, log)
        options = self._options
        self.node = NodeController(
            options.name,
            self.registry,
            CALLS,
            log,
            self.stop_requested.set,
            limits=make_limits(options.limits),
        )
        return self.node
