"""A process that plays many nodes: real doors, sessions and encryption; engines answer at once.

It reads a line of JSON, what each node is to be (``NodeSpec``), opens a door for each, and says
where they are. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import sys
import time
from typing import Any

import zmq

from kernelfleet import __version__
from kernelfleet.controller.daemon import raise_descriptor_limit
from kernelfleet.controller.door.server import Server
from kernelfleet.controller.door.sessions import ClientSession
from kernelfleet.controller.limits import Limits
from kernelfleet.controller.timing import TIMES_OF_A_HEAD
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.handshake import key_of_node
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.versions import PROTOCOL_VERSION


class SimulatedNode:
    """Answers as a node whose engines take no time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.limits = Limits()
        self.count_refused: object = None
        self._ids: list[int] = []
        self._heads: dict[str, ClientSession] = {}
        self._number = 0

    def known(self) -> JsonDict:
        """Which engines there are."""
        pythons = {str(engine_id): platform.python_version() for engine_id in self._ids}
        known = {"ids": self._ids, "dead": {}, "total": len(self._ids), "pythons": pythons}
        return {**known, "portable": {}}

    def connect(self, head_id: str, session: ClientSession) -> JsonDict:
        """The welcome of a head."""
        self._heads[head_id] = session
        return {
            "type": "welcome", "version": PROTOCOL_VERSION, "kernelfleet": __version__,
            "instance": self.name, "shares_memory": False, "message_bytes": None,
            "name": self.name, "pid": os.getpid(), "host": platform.node(),
            "one_machine": True, "roster": self.known(),
        }  # fmt: skip

    def disconnect(self, head_id: str) -> None:
        """A head has left."""
        del self._heads[head_id]

    def handle(self, head_id: str, header: JsonDict, buffers: list[Any]) -> None:
        """Answer a request at once."""
        del buffers
        session = self._heads[head_id]
        if header["operation"] == "add_engines":
            self._ids = sorted(self._ids + [each["id"] for each in header["engines"]])
            session.deliver({"type": "event", "event": "roster", "roster": self.known()}, [])
        reply: JsonDict = {"type": "reply", "to": header["n"]}
        if header["operation"] == "execute":
            self._number += 1
            reply["results"] = [self._result(engine_id) for engine_id in header["targets"]]
        elif "targets" in header:
            done = {"ok": True, "buffers": 0, "outputs": 0, "value": None}
            reply["results"] = [{"id": engine_id, **done} for engine_id in header["targets"]]
        else:
            reply["value"] = None
        session.deliver(reply, [])
        if header["operation"] == "shutdown":
            session.deliver({"type": "event", "event": "stopped"}, [])

    def _result(self, engine_id: int) -> JsonDict:
        return {
            "id": engine_id, "ok": True, "number": self._number, "buffers": 0, "outputs": 0,
            "input": {"raw": "a = 5", "translated": "a = 5"}, "started": time.time(),
            "finished": time.time(),
        }  # fmt: skip


async def serve(specs: list[JsonDict]) -> None:
    """Open the doors, tell where they are, and stay."""
    raise_descriptor_limit()
    log = logging.getLogger("simulated")
    servers: list[Server] = []
    contexts: list[zmq.Context[Any]] = []
    reports: list[JsonDict] = []
    for spec in specs:
        context: zmq.Context[Any] = zmq.Context()  # which has one authenticator
        contexts.append(context)
        node = SimulatedNode(spec["name"])
        key = key_of_node(spec["name"], spec["client_key"])
        fleet = FleetFile(
            name=spec["name"], pid=os.getpid(), host=platform.node(), started=0.0, key=key,
            kernelfleet=__version__,
        )  # fmt: skip
        server = Server(node, context, fleet, log, TIMES_OF_A_HEAD)  # type: ignore[arg-type]
        url = server.listen_tcp(fleet, 0, "127.0.0.1", spec["client_key"])
        servers.append(server)
        reports.append(
            {
                "host": f"node{len(reports)}", "pid": os.getpid(), "url": url,
                "server_key": fleet.server_public_key, "cores": 20, "kernelfleet": __version__,
                "protocol": PROTOCOL_VERSION, "python": platform.python_version(),
            }
        )  # fmt: skip
    print(json.dumps(reports), flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    await ended.wait()
    for server in servers:
        server.close()
    for context in contexts:
        context.destroy(linger=0)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))
