"""The first moments of a node: it reads what it is to be, and its fork server starts to load.

The rest of the node is imported only then, beside what the fork server imports, and the head needs
its time as well to come: so the fork server is ready when the first engine is asked for.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress

from kernelfleet.provisioners.kinds import kind_of
from kernelfleet.provisioners.servers import servers
from kernelfleet.wire.messages.nodes import NodeSpec
from kernelfleet.wire.platforms import HERE


def begin() -> NodeSpec:
    """Read what this process is to be, and start what takes long."""
    spec: NodeSpec = json.loads(read_line(0))
    # (what is preloaded depends on variables of the engines, which are not known yet)
    if HERE.fork_server and spec["fork"] and not spec["mpi"] and not spec["preload"]:
        with suppress(OSError):  # it is told when an engine wants one
            servers.warm_up(kind_of((), os.environ))
    return spec


def read_line(fd: int) -> bytes:
    """A line from a file descriptor, and nothing of what comes after it."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        if not byte:
            sys.exit("kernelfleet.node is started by the head of a fleet, which describes the node")
        line += byte
    return bytes(line)
