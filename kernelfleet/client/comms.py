"""The comms of a fleet's engines, for what shows them in a frontend: a bridge.

A bridge uses one link per client of the fleet in its process. All links of a bridge name it, so the
controller tells each thing once. The link also watches over the connection: a controller that has
forgotten the client must be told of the bridge again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kernelfleet.client.controller_proxy import OnOutput, raise_if_refused
from kernelfleet.errors.tree import FleetError
from kernelfleet.session.future import Future
from kernelfleet.wire.buffers.shared_memory import SharedBuffer
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import CommMessage, read_listing, state_in

if TYPE_CHECKING:
    from kernelfleet.client.base import BaseClient

#: A message, and the engine that it is of.
Said = tuple[int, CommMessage]

#: What ``queue_status`` shows while an engine works for a widget.
LABEL = "a widget's callback"
#: How long the controller may take to answer; the user's thread may wait for it.
ANSWER_SECONDS = 5.0


def fleet_of(client: BaseClient) -> str:
    """What tells the client's fleet from every other, and from one of the same name later."""
    return str(client._connection.fleet.get("instance", ""))


def values_of(client: BaseClient, of: Sequence[tuple[int, str]]) -> dict[int, dict[str, JsonDict]]:
    """The values of widgets and of all that they name, by engine and id.

    Args:
        client: A client of the fleet.
        of: The engine and the id of each widget.

    Returns:
        What the controller knows; nothing if it does not answer.
    """
    found: dict[int, dict[str, JsonDict]] = {}
    with suppress(FleetError, TimeoutError):
        wanted = [list(each) for each in of]
        asked = {"bridge": "", "of": wanted}
        reply = client._connection.call("comm_states", ANSWER_SECONDS, **asked)
        for engine, said in _read(reply.header["value"], reply.buffers):
            if (state := state_in(said)) is not None:
                found.setdefault(engine, {})[said.comm_id] = state.values
    return found


class CommLink:
    """See the module's docstring.

    Args:
        client: A client of the fleet.
        bridge: The id of the bridge.
        known: The comms that the bridge has: engine id and comm id each.
        on_messages: Gets what engines say, on kernelfleet's own thread.
        on_gone: Called when nothing will come any more, on that thread.
    """

    def __init__(
        self,
        client: BaseClient,
        bridge: str,
        known: Callable[[], list[list[Any]]],
        on_messages: Callable[[Sequence[Said]], None],
        on_gone: Callable[[CommLink], None],
    ) -> None:
        self._connection = client._connection
        self._bridge, self._known = bridge, known
        self._on_messages, self._on_gone = on_messages, on_gone
        self._session: Any = None
        self._connection.on_comms = lambda listed, buffers: on_messages(_read(listed, buffers))
        self._forget = self._connection.when_changed(self._changed)
        self._changed()

    def is_of(self, client: BaseClient) -> bool:
        """Whether it is the link of this client, or of one on the same connection."""
        return self._connection is client._connection

    @property
    def is_open(self) -> bool:
        """Whether something can be asked now."""
        return self._connection.is_open

    def _changed(self) -> None:
        if self._connection.is_over:
            self._forget()
            self._on_gone(self)
            return
        session = (self._connection.fleet.get("session"), id(self._connection.fleet))
        if self._connection.is_open and session != self._session:
            self._session = session
            with suppress(FleetError):
                watch = {"operation": "watch_comms", "bridge": self._bridge}
                self._request({**watch, "known": self._known()})

    def _request(
        self,
        header: JsonDict,
        buffers: Sequence[Any] = (),
        on_output: OnOutput | None = None,
        then: Callable[[Future[Any]], object] | None = None,
    ) -> Future[Any]:
        """Send a request; ``then`` comes in the order of what the controller says."""
        future: Future[Any] = Future()
        if then is not None:
            future.add_done_callback(lambda _: then(future))
        return self._connection.request(
            {"type": "request", **header}, list(buffers), on_output, future
        )

    def join(self, engine: int, comm_id: str) -> None:
        """Get what opens a comm, and all that it names; it has come when this returns.

        Raises:
            FleetError: the engine is not there, or the controller does not answer.
            TimeoutError: there was no answer in time.
        """

        def take(done: Future[Any]) -> None:
            if done.exception() is None and "value" in (reply := done.result()).header:
                self._on_messages(_read(reply.header["value"], reply.buffers))

        header = {"operation": "join_comm", "bridge": self._bridge}
        future = self._request({**header, "engine": engine, "comm_id": comm_id}, then=take)
        raise_if_refused(future.result(ANSWER_SECONDS))

    def states(self, of: Sequence[tuple[int, str]] | None = None) -> list[Said]:
        """What would open the comms that the bridge has, or some and what they name, as they are.

        Raises:
            FleetError: the controller does not answer.
            TimeoutError: there was no answer in time.
        """
        header: JsonDict = {"operation": "comm_states", "bridge": self._bridge}
        if of is not None:
            header["of"] = [list(each) for each in of]
        reply = raise_if_refused(self._request(header).result(ANSWER_SECONDS))
        return _read(reply.header["value"], reply.buffers)

    def send(
        self,
        engine: int,
        said: CommMessage,
        on_output: OnOutput,
        on_end: Callable[[JsonDict | None], None],
    ) -> None:
        """Send what a frontend says to a comm; the engine does it before anything that waits.

        Args:
            engine: The engine.
            said: The message.
            on_output: Gets what the callback puts out, on kernelfleet's own thread.
            on_end: Gets the error of the callback, None if there was none, on that thread.

        Raises:
            FleetError: it cannot be sent.
        """
        content: JsonDict = {"msg_type": said.msg_type, "comm_id": said.comm_id, "data": said.data}
        header = {
            "operation": "comm", "targets": [engine], "content": content,
            "result_id": self._connection.next_result_id(), "keep": False, "stream": True,
            "label": LABEL, "payloads": [len(said.buffers)],
        }  # fmt: skip
        self._request(header, said.buffers, on_output, lambda done: on_end(_error_of(done)))


def _error_of(done: Future[Any]) -> JsonDict | None:
    try:
        reply = raise_if_refused(done.result())
    except (FleetError, ValueError) as refused:
        return {"ename": type(refused).__name__, "evalue": str(refused)}
    error: JsonDict | None = reply.header["results"][0].get("error")
    return error


def _read(listed: Sequence[JsonDict], buffers: Sequence[Any]) -> list[Said]:
    """Messages as the controller lists them."""
    return list(read_listing(listed, list(map(_bytes_of, buffers))))


def _bytes_of(frame: Any) -> bytes:
    if isinstance(frame, SharedBuffer):
        return bytes(frame.view())
    return bytes(getattr(frame, "buffer", frame))
