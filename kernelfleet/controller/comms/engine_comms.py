"""The comms of one engine: what each has said of its state, and which bridges have it.

::

    engine iopub --comm_open, comm_msg, comm_close--> state --> the bridges that have the comm
                 --outputs that an Output widget takes--------> likewise

A bridge has a comm from its opening on if one of its clients ran the code that opened it, or if
nobody knows whose code it was. It gets any other one when it asks, because a view of it is to be
shown, or when a comm that it has names it. So the widgets of one notebook cost another one nothing.

A frontend is told by an Output widget which outputs to show in it, by the id of the request
that they answer. Only the frontend of that very kernel could do so. Therefore it is done here, and
the widget is not told.

Pure: no sockets, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from kernelfleet.controller.engines.in_flight import InFlight
from kernelfleet.controller.requests import Job
from kernelfleet.wire.jupyter import KernelMessage
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import (
    CLOSE,
    COMM_TYPES,
    MESSAGE,
    OPEN,
    OUTPUT,
    CommMessage,
    State,
    references,
    state_in,
)
from kernelfleet.wire.outputs import OUTPUT_TYPES, to_pages

#: What is remembered of the comms of one engine; of more, the oldest cannot be shown again.
MAX_STATE_BYTES = 64 * 1024 * 1024


class Bridges(Protocol):
    """All bridges, as the comms of an engine need to know them."""

    def openers(self, client: str | None) -> list[str]:
        """The bridges that have what the code of a client opens; None: nobody knows whose."""

    def tell(self, bridges: Iterable[str], engine_id: int, said: CommMessage) -> None:
        """Send a message to these bridges, soon."""

    def flush(self) -> None:
        """Send at once what waits."""


class _NoBridges:
    def openers(self, client: str | None) -> list[str]:
        return []

    def tell(self, bridges: Iterable[str], engine_id: int, said: CommMessage) -> None: ...

    def flush(self) -> None: ...


@dataclass(slots=True)
class _Comm:
    opened: CommMessage
    #: Of a widget; None for another kind of comm, whose opening stays as it was.
    state: State | None
    bridges: set[str] = field(default_factory=set)

    @property
    def opening(self) -> CommMessage:
        """A message that opens it as it is now."""
        if self.state is None:
            return self.opened
        data = {**self.opened.data, **self.state.data}
        return replace(self.opened, data=data, buffers=self.state.buffers)


class EngineComms:
    """See the module's docstring.

    Args:
        engine_id: The engine.
        bridges: Are told.
    """

    def __init__(self, engine_id: int, bridges: Bridges | None = None) -> None:
        self.engine_id = engine_id
        self._bridges = _NoBridges() if bridges is None else bridges
        self._comms: dict[str, _Comm] = {}
        self._size_bytes = 0
        #: By the id of a request the Output widgets that take its outputs, the innermost last.
        self.captures: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._comms)

    # -- from the kernel ------------------------------------------------------------------------

    def take(self, message: KernelMessage, run: InFlight | None) -> bool:
        """Take what the kernel has published, if it is for comms; whether it is.

        Args:
            message: The message, which may be anything.
            run: What the kernel is at; the message need not be of it.
        """
        if message.msg_type in COMM_TYPES:
            self._take_comm(message, run)
            return True
        return bool(self.captures) and self._capture(message)

    def _take_comm(self, message: KernelMessage, run: InFlight | None) -> None:
        size = len(message.packed) + sum(len(each.buffer) for each in message.buffers)
        said = CommMessage.of(
            message.msg_type, message.content, message.metadata, message.buffers, size
        )
        if said is None:
            return
        if said.msg_type == OPEN:
            is_its = run is not None and run.msg_id == message.parent_id
            client = run.job.client if run is not None and is_its else None
            self._open(said, self._bridges.openers(client))
        elif (known := self._comms.get(said.comm_id)) is None:
            return
        elif said.msg_type == CLOSE:
            self._close(said)
        else:
            self._message(known, said)

    def _open(self, said: CommMessage, openers: Collection[str]) -> None:
        self._drop(said.comm_id)
        state = state_in(said)
        if state is not None:
            said = self._without_request_id(said, state) or said
            state = state_in(said)
        self._comms[said.comm_id] = _Comm(said, state, set(openers))
        self._size_bytes += said.size_bytes
        while self._size_bytes > MAX_STATE_BYTES and len(self._comms) > 1:
            self._drop(next(iter(self._comms)))
        self._bring(said, openers)
        self._tell(openers, said)

    def _message(self, known: _Comm, said: CommMessage) -> None:
        state = state_in(said)
        if state is not None and "msg_id" in state.values:
            left = self._without_request_id(said, state)
            if left is None:
                return
            said, state = left, state_in(left)
        if state is not None and known.state is not None:
            known.state = known.state.updated(state)
        self._bring(said, known.bridges)
        self._tell(known.bridges, said)

    def _close(self, said: CommMessage) -> None:
        known = self._drop(said.comm_id)
        assert known is not None
        self._tell(known.bridges, said)

    def _drop(self, comm_id: str) -> _Comm | None:
        known = self._comms.pop(comm_id, None)
        if known is not None:
            self._size_bytes -= known.opened.size_bytes
            self._stop_capturing(comm_id)
        return known

    def _bring(self, said: CommMessage, bridges: Collection[str]) -> None:
        """Have bridges open first what a message names."""
        if not bridges:
            return
        for named in references(said.data):
            known = self._comms.get(named)
            if known is None:
                continue
            for bridge in set(bridges) - known.bridges:
                for opening in self.join(bridge, named):
                    self._tell([bridge], opening)

    # -- outputs that an Output widget takes ----------------------------------------------------

    def _without_request_id(self, said: CommMessage, state: State) -> CommMessage | None:
        """Note whose outputs an Output widget takes; what else was said, None if nothing."""
        if "msg_id" not in state.values:
            return said
        request = state.values["msg_id"]
        self._stop_capturing(said.comm_id)
        if request and isinstance(request, str):
            self.captures.setdefault(request, []).append(said.comm_id)
        left = {key: value for key, value in state.values.items() if key != "msg_id"}
        if not left and said.msg_type == MESSAGE:
            return None
        values = {**left, "msg_id": ""} if said.msg_type == OPEN else left
        return replace(said, data={**said.data, "state": values})

    def _stop_capturing(self, comm_id: str) -> None:
        for request, takers in list(self.captures.items()):
            if comm_id in takers:
                takers.remove(comm_id)
                if not takers:
                    del self.captures[request]

    def _capture(self, message: KernelMessage) -> bool:
        """Take an output that belongs into an Output widget; whether it does."""
        takers = self.captures.get(message.parent_id)
        if not takers or message.msg_type not in OUTPUT_TYPES:
            return False
        known = self._comms.get(takers[-1])
        if known is None or not known.bridges:
            return False  # nobody shows it: it remains an output of the command
        pages = to_pages(message.msg_type, message.packed)
        size = len(message.packed)
        said = CommMessage(OUTPUT, takers[-1], buffers=pages, size_bytes=size)
        self._tell(known.bridges, said)
        return True

    # -- for bridges ----------------------------------------------------------------------------

    def join(self, bridge: str, comm_id: str) -> list[CommMessage]:
        """What opens a comm and all that it names, for a bridge that has not all of it."""
        found: list[CommMessage] = []
        ahead, seen = [comm_id], {comm_id}
        while ahead:
            known = self._comms.get(ahead.pop())
            if known is None:
                continue
            opening = known.opening
            if bridge not in known.bridges:
                known.bridges.add(bridge)
                found.append(opening)
            fresh = set(references(opening.data)) - seen
            seen |= fresh
            ahead += fresh
        return found[::-1]

    def states(self, bridge: str, comm_ids: Iterable[str] | None = None) -> list[CommMessage]:
        """What would open the comms that a bridge has, as they are now.

        Args:
            bridge: The bridge.
            comm_ids: Only these, and those that they name; None is all.
        """
        if comm_ids is None:
            return [each.opening for each in self._comms.values() if bridge in each.bridges]
        found: dict[str, CommMessage] = {}
        ahead = list(comm_ids)
        while ahead:
            comm_id = ahead.pop()
            known = self._comms.get(comm_id)
            if known is not None and comm_id not in found:
                found[comm_id] = known.opening
                ahead += references(found[comm_id].data)
        return list(found.values())

    def has(self, bridge: str, comm_id: str) -> None:
        """A bridge has this comm already, and lacks what was said of it meanwhile."""
        known = self._comms.get(comm_id)
        if known is None:
            self._tell([bridge], CommMessage(CLOSE, comm_id))
            return
        known.bridges.add(bridge)
        if known.state is not None:
            data: JsonDict = {"method": "update", **known.state.data}
            said = CommMessage(MESSAGE, comm_id, data, known.state.buffers)
            self._bring(said, [bridge])
            self._tell([bridge], said)

    def note_request(self, job: Job) -> None:
        """A request was queued: if a frontend changes a widget, the kernel may tell so, or not."""
        if not job.operation.goes_first:
            return
        content = job.request.content
        said = CommMessage(content["msg_type"], content["comm_id"], content["data"], job.payload)
        known, state = self._comms.get(said.comm_id), state_in(said)
        if known is not None and state is not None and known.state is not None:
            known.state = known.state.updated(state)

    def leave(self, bridge: str, comm_id: str | None = None) -> None:
        """A bridge has gone, or does without one comm."""
        for each in self._comms.values() if comm_id is None else [self._comms.get(comm_id)]:
            if each is not None:
                each.bridges.discard(bridge)

    def close_all(self, reason: str) -> None:
        """The kernel is gone, and its comms with it."""
        comms, self._comms = self._comms, {}
        self.captures, self._size_bytes = {}, 0
        for comm_id, known in comms.items():
            self._tell(known.bridges, CommMessage(CLOSE, comm_id, {"reason": reason}))
        self._bridges.flush()

    def _tell(self, bridges: Iterable[str], said: CommMessage) -> None:
        self._bridges.tell(bridges, self.engine_id, said)
