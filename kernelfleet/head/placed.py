"""Where an engine is, of those on many nodes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from kernelfleet.controller.lifecycle.restart_policy import RestartPolicy
from kernelfleet.head.node import Node


@dataclass(eq=False, slots=True)
class Placed:
    """An engine id, and the node that has the engine.

    Attributes:
        node: Where it is, or was.
        kernel: Its kernelspec; None is our own.
        lost: How it was lost with its node; empty while the node is there.
        policy: How often it is started again after such a loss.
        restarting: Done when it has been started elsewhere; None if it is not being started.
    """

    node: Node
    kernel: str | None
    lost: str = ""
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    restarting: asyncio.Future[None] | None = None
