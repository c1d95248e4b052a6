"""host.py of a node: a whole fleet without engines, until its head asks for some."""

from __future__ import annotations

import asyncio
import logging

import zmq

from kernelfleet.controller.options import FleetOptions
from kernelfleet.node.controller import NodeController
from kernelfleet.node.host import NodeHost

LOG = logging.getLogger("tests.node")


def test_it_starts_without_engines_and_leaves_nothing() -> None:
    async def test() -> None:
        options = FleetOptions(kernels=(), name="a-node", embedded=True)
        host = await NodeHost.launch(options, zmq.Context.instance(), LOG)
        assert isinstance(host.controller, NodeController)
        assert host.controller.known_engines()["ids"] == []
        path = host.directory.path
        assert path.is_dir()
        await host.stop()
        assert not path.exists()

    asyncio.run(asyncio.wait_for(test(), 20))
