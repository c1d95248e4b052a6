"""Comm messages of Jupyter, and what the updates of a widget's state make of it.

A comm is a pair of objects, one in a kernel and one in a frontend, that send each other messages.
Widgets are comms whose messages say what has changed of a state. What has not been read yet of
such changes can be merged: only the last value of each property counts.

Where the values of a state are bytes, they are in the buffers of the message; ``paths`` says where
each belongs, and the state has nothing in its place.

Pure: no sockets, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kernelfleet.wire.messages import JsonDict

#: The target of the comms of widgets.
WIDGET_TARGET = "jupyter.widget"
#: The MIME type of a view of a widget.
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

OPEN, MESSAGE, CLOSE = COMM_TYPES = ("comm_open", "comm_msg", "comm_close")
#: Not of Jupyter: outputs that an Output widget takes, as pages (``outputs.py``).
OUTPUT = "comm_output"

#: How the state of one widget names another.
REFERENCE = "IPY_MODEL_"

_CHANGES = ("update", "echo_update")


@dataclass(slots=True)
class CommMessage:
    """A message of a comm.

    Attributes:
        msg_type: ``comm_open``, ``comm_msg``, ``comm_close``, or ``comm_output``.
        comm_id: The comm.
        data: What is said.
        buffers: Bytes that belong to the data.
        metadata: Metadata of the Jupyter message; ``comm_open`` has the protocol's version there.
        target: What opens the other side: the target's name and module; only of ``comm_open``.
        size_bytes: About how much memory it takes.
    """

    msg_type: str
    comm_id: str
    data: JsonDict = field(default_factory=dict)
    buffers: list[Any] = field(default_factory=list)
    metadata: JsonDict = field(default_factory=dict)
    target: tuple[str, str | None] = ("", None)
    size_bytes: int = 0

    @property
    def content(self) -> JsonDict:
        """The content of the Jupyter message."""
        content: JsonDict = {"comm_id": self.comm_id, "data": self.data}
        if self.msg_type == OPEN:
            content["target_name"], content["target_module"] = self.target
        return content

    @classmethod
    def of(
        cls,
        msg_type: str,
        content: JsonDict,
        metadata: JsonDict,
        buffers: list[Any],
        size_bytes: int = 0,
    ) -> CommMessage | None:
        """A message with this content; None if it is of no such form."""
        comm_id, data = content.get("comm_id"), content.get("data") or {}
        name, module = content.get("target_name", ""), content.get("target_module")
        texts = isinstance(comm_id, str) and isinstance(name, str)
        if not texts or not isinstance(data, dict) or not isinstance(module, str | None):
            return None
        target = (name, module)
        return cls(msg_type, str(comm_id), data, list(buffers), metadata, target, size_bytes)


def read_listing(
    listed: Sequence[JsonDict], buffers: Sequence[Any]
) -> Iterator[tuple[int, CommMessage]]:
    """Engine and message of each entry of a list of comm messages; what has no form is left out.

    Args:
        listed: The entries (``replies.ListedComm``).
        buffers: The buffers of all of them.
    """
    at = 0
    for each in listed:
        own = list(buffers[at : at + each["buffers"]])
        at += each["buffers"]
        said = CommMessage.of(each["msg_type"], each["content"], each["metadata"], own)
        if said is not None:
            yield each["engine"], said


@dataclass(slots=True)
class State:
    """Values of properties of a widget: all of them, or those that have changed."""

    values: JsonDict
    paths: list[list[Any]] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)

    def updated(self, later: State) -> State:
        """This state after a change."""
        kept = [
            (path, buffer)
            for path, buffer in zip(self.paths, self.buffers, strict=True)
            if path[0] not in later.values
        ]
        return State(
            {**self.values, **later.values},
            [*(path for path, _ in kept), *later.paths],
            [*(buffer for _, buffer in kept), *later.buffers],
        )

    @property
    def data(self) -> JsonDict:
        """The state as it stands in a message."""
        return {"state": self.values, "buffer_paths": self.paths}


def state_in(message: CommMessage) -> State | None:
    """The state, or the change of it, that a message tells; None if it tells something else."""
    data = message.data
    if message.msg_type == MESSAGE:
        if data.get("method") not in _CHANGES:
            return None
    elif message.msg_type != OPEN:
        return None
    values, paths = data.get("state"), data.get("buffer_paths") or []
    if not isinstance(values, dict) or not isinstance(paths, list):
        return None
    are_paths = all(isinstance(path, list) and path and path[0] in values for path in paths)
    if not are_paths or len(paths) != len(message.buffers):
        return None
    return State(values, paths, message.buffers)


def is_update(message: CommMessage) -> bool:
    """Whether a message is nothing but a change of state, which a later one may take in."""
    return (
        message.msg_type == MESSAGE
        and message.data.get("method") == "update"
        and state_in(message) is not None
    )


def merged(earlier: CommMessage, later: CommMessage) -> CommMessage:
    """One update for two of the same comm."""
    before, after = state_in(earlier), state_in(later)
    assert before is not None
    assert after is not None
    state = before.updated(after)
    size = later.size_bytes
    if not before.values.keys() <= after.values.keys():
        size += earlier.size_bytes
    data = {**later.data, **state.data}
    return replace(later, data=data, buffers=state.buffers, size_bytes=size)


def references(value: Any) -> Iterator[str]:
    """The ids of the widgets that a state, or a part of it, names."""
    if isinstance(value, str):
        if value.startswith(REFERENCE):
            yield value.removeprefix(REFERENCE)
    elif isinstance(value, dict):
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def with_ids(value: Any, ids: dict[str, str]) -> Any:
    """A state, or a part of it, that names other widgets by other ids."""
    if isinstance(value, str):
        if value.startswith(REFERENCE):
            old = value.removeprefix(REFERENCE)
            return REFERENCE + ids.get(old, old)
        return value
    if isinstance(value, dict):
        return {key: with_ids(each, ids) for key, each in value.items()}
    if isinstance(value, list):
        return [with_ids(each, ids) for each in value]
    return value
