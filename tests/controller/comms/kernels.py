"""What kernels say of comms, for the tests of this room."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import zmq

from kernelfleet.wire.jupyter import KernelMessage
from kernelfleet.wire.messages.comms import CommMessage

JsonDict = dict[str, Any]


class Bridges:
    """Notes what bridges are told."""

    def __init__(self, *openers: str) -> None:
        self.opening_bridges = list(openers)
        self.told: list[tuple[str, CommMessage]] = []
        self.asked: list[str | None] = []
        self.flushes = 0

    def openers(self, client: str | None) -> list[str]:
        self.asked.append(client)
        return self.opening_bridges

    def tell(self, bridges: Iterable[str], _engine_id: int, said: CommMessage) -> None:
        self.told += [(bridge, said) for bridge in sorted(bridges)]

    def flush(self) -> None:
        self.flushes += 1

    def take(self) -> list[tuple[str, str, str]]:
        """Bridge, type and comm of all that was told since the last time."""
        told, self.told = self.told, []
        return [(bridge, said.msg_type, said.comm_id) for bridge, said in told]


def message(
    msg_type: str, content: JsonDict, parent: str = "r", buffers: tuple[bytes, ...] = ()
) -> KernelMessage:
    """A published message of a kernel."""
    frames = [zmq.Frame(buffer) for buffer in buffers]
    return KernelMessage([], msg_type, "s", parent, {}, frames, json.dumps(content).encode())


def opening(comm_id: str, parent: str = "r", **state: Any) -> KernelMessage:
    content = {"comm_id": comm_id, "target_name": "jupyter.widget", "data": {"state": state}}
    return message("comm_open", content, parent)


def update(
    comm_id: str, parent: str = "r", *, buffers: tuple[bytes, ...] = (), **state: Any
) -> KernelMessage:
    paths = [[key] for key in state if state[key] is None]
    data = {"method": "update", "state": state, "buffer_paths": paths}
    return message("comm_msg", {"comm_id": comm_id, "data": data}, parent, buffers)


def custom(comm_id: str, content: Any) -> KernelMessage:
    data = {"method": "custom", "content": content}
    return message("comm_msg", {"comm_id": comm_id, "data": data})


def closing(comm_id: str) -> KernelMessage:
    return message("comm_close", {"comm_id": comm_id, "data": {}})


def printing(text: str, parent: str) -> KernelMessage:
    return message("stream", {"name": "stdout", "text": text}, parent)
