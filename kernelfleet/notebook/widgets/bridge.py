"""Between the engines of one fleet and the frontend of this kernel.

What engines say arrives on kernelfleet's own thread, is noted there, and published by the bridge's
thread, or by whoever needs it published now: ``drain`` may be called by any thread but that one.
What the frontend says arrives on the kernel's main thread, or on that of a subshell, while a cell
runs. So one lock guards everything. kernelfleet's own thread never takes it, so that whoever has it
may wait for the controller.
"""

# mypy: allow-untyped-calls
# the package comm is untyped

from __future__ import annotations

import contextlib
import queue
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import comm

from kernelfleet.client.comms import CommLink, Said, fleet_of
from kernelfleet.errors.tree import FleetError
from kernelfleet.notebook.widgets import models
from kernelfleet.notebook.widgets.control import control_of
from kernelfleet.notebook.widgets.ids import Ids
from kernelfleet.notebook.widgets.local_comm import LocalComm
from kernelfleet.notebook.widgets.outbox import Entry, Outbox
from kernelfleet.notebook.widgets.output_widgets import OutputWidgets
from kernelfleet.notebook.widgets.place import Place, Publish
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.comms import (
    CLOSE,
    MESSAGE,
    OPEN,
    OUTPUT,
    WIDGET_TARGET,
    CommMessage,
    State,
    state_in,
)

#: How often it is looked whether progress is over that goes on after its call.
LOOK_SECONDS = 0.5


class Bridge:
    """See the module's docstring.

    Args:
        kernel: The notebook's kernel.
    """

    def __init__(self, kernel: Any) -> None:
        self.id = uuid.uuid4().hex
        self.lock = threading.RLock()
        self.is_over = False
        #: The request of the cell that was run last.
        self.parent: JsonDict = {}
        self._kernel = kernel
        self._links: list[CommLink] = []
        self._ids = Ids()
        self._outbox = Outbox()
        self._comms: dict[str, LocalComm] = {}
        self._own: dict[str, State] = {}
        #: Where widgets stand that are live.
        self.places: list[Place] = []
        self._outputs = OutputWidgets()
        #: When to look whether progress is over that went on after its call; 0 if there is none.
        self._look_due = 0.0
        self._news: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        control_of(comm.get_comm_manager()).sources.append(self._states)
        threading.Thread(target=self._work, name="kernelfleet-widgets", daemon=True).start()

    def add_client(self, client: Any) -> None:
        """Serve one more client of the fleet; does nothing if it is served already."""
        if not any(link.is_of(client) for link in self._links):
            self._links.append(
                CommLink(client, self.id, self._ids.all_of, self._take, self._link_gone)
            )

    def place(self, publish: Publish) -> Place:
        """A place for the widgets of one call."""
        return Place(self, publish)

    def remove(self, place: Place) -> None:
        """A place has nothing live any more."""
        if place in self.places:
            self.places.remove(place)

    # -- news, noted on kernelfleet's own thread --------------------------------------------------

    def _post(self, function: Callable[..., object], *arguments: Any) -> None:
        self._news.append((function, arguments))
        self._wake.put(None)

    def _take(self, messages: Sequence[Said]) -> None:
        self._post(self._publish, messages)

    def _link_gone(self, link: CommLink) -> None:
        self._post(self._forget_link, link)

    def _work(self) -> None:
        while not self.is_over:
            due = [at for at in (self._outputs.due, self._look_due) if at]
            patience = max(0.0, min(due) - time.monotonic()) if due else None
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=patience)
            self.drain()
            self._tell_outputs()
            self._look()

    def _look(self) -> None:
        """Look whether progress that went on after its call is over now."""
        if self._look_due and time.monotonic() >= self._look_due:
            self._look_due = 0.0
            for place in [each for each in self.places if each.is_open]:
                place.finish()

    def drain(self) -> None:
        """Deal with what has come; in any thread but kernelfleet's own."""
        with self.lock:
            while self._news:
                function, arguments = self._news.popleft()
                try:
                    function(*arguments)
                except Exception:
                    self._kernel.log.exception("kernelfleet: a message of a widget")

    def _forget_link(self, link: CommLink) -> None:
        if link in self._links:
            self._links.remove(link)
        if not self._links and not self.is_over:
            self._end("its client was closed, or its fleet has ended")

    def _end(self, reason: str) -> None:
        self.is_over = True
        sources = control_of(comm.get_comm_manager()).sources
        if self._states in sources:
            sources.remove(self._states)
        for here in list(self._comms):
            if here not in self._own:
                self._close(here, {"reason": reason})
        for here in list(self._own):
            self._comms.pop(here).close()
        self._own.clear()

    # -- from engines to the frontend -------------------------------------------------------------

    def _publish(self, messages: Sequence[Said]) -> None:
        for engine, said in messages:
            if said.msg_type == OPEN:
                self._open(engine, said)
            elif (here := self._ids.find(engine, said.comm_id)) is None:
                continue
            elif said.msg_type == MESSAGE:
                self._message(engine, here, said)
            elif said.msg_type == CLOSE:
                self._close(here, said.data)
            elif said.msg_type == OUTPUT:
                self._outputs.add(here, said.buffers, time.monotonic())
        if any(place.is_open for place in self.places):
            self._look_due = self._look_due or time.monotonic() + LOOK_SECONDS

    def _open(self, engine: int, said: CommMessage) -> None:
        if self._ids.find(engine, said.comm_id) is not None:
            return
        here = self._ids.add(engine, said.comm_id)
        data = self._ids.to_here(engine, said.data)
        opening = CommMessage(OPEN, here, data, said.buffers, said.metadata, said.target)
        self._comms[here] = LocalComm(self._kernel, self._parent(engine), opening, self._from)
        state = state_in(said)
        if state is not None and state.values.get("_model_name") == "OutputModel":
            self._outputs.open(here, state.values.get("outputs") or ())

    def _message(self, engine: int, here: str, said: CommMessage) -> None:
        if here in self._outputs:
            state = state_in(said)
            if state is not None and "outputs" in state.values:
                if said.data.get("method") == "echo_update":
                    return  # of what this bridge has told; more may have come since
                self._outputs.open(here, state.values["outputs"] or ())
        known = self._comms[here]
        known.parent = self._parent(engine)
        known.send(self._ids.to_here(engine, said.data), said.metadata, said.buffers)

    def _close(self, here: str, data: JsonDict) -> None:
        known, origin = self._comms.pop(here), self._ids.origin(here)
        self._outputs.close(here)
        self._ids.remove(here)
        if origin is not None:
            for place in list(self.places):
                place.closed(origin[0], here, str(data.get("reason", "")))
            if data.get("reason"):
                self._outbox.forget(origin[0])
        known.close(data)

    def _parent(self, engine: int) -> JsonDict:
        """What the frontend takes an engine's message for an answer to."""
        entry = self._outbox.in_flight(engine)
        return self.parent if entry is None else entry.parent

    def find(self, engine: int, comm_id: str) -> str | None:
        """The id in the frontend of an engine's comm, which is opened there now; None if not."""
        self.drain()
        here = self._ids.find(engine, comm_id)
        if here is None and (link := self._link()) is not None:
            with contextlib.suppress(FleetError, TimeoutError):
                link.join(engine, comm_id)
            self.drain()
            here = self._ids.find(engine, comm_id)
        return here

    # -- from the frontend to engines -------------------------------------------------------------

    def _from(self, known: LocalComm, msg_type: str, msg: JsonDict) -> None:
        """A message of the frontend, in the kernel's thread or in that of a subshell."""
        here, data = known.comm_id, msg["content"].get("data") or {}
        if data.get("method") == "request_state":
            state = self._states([here]).get(here)
            if state is not None:
                known.parent = msg
                known.send({"method": "update", **state.data}, {}, state.buffers)
            return
        buffers = [bytes(each) for each in msg.get("buffers") or ()]
        with self.lock:
            if here in self._own:
                said = CommMessage(msg_type, here, data, buffers)
                if (change := state_in(said)) is not None:
                    self._own[here] = self._own[here].updated(change)
                return
            origin = self._ids.origin(here)
            if origin is None:
                return
            engine, comm_id = origin
            said = CommMessage(msg_type, comm_id, self._ids.to_engine(engine, data), buffers)
            if msg_type == CLOSE:  # (the comm manager has forgotten it)
                self._comms.pop(here, None)
                self._ids.remove(here)
            self._outbox.add(engine, Entry(here, said, {"header": msg["header"]}))
            self._send_next(engine)

    def _send_next(self, engine: int) -> None:
        while (entry := self._outbox.next(engine)) is not None:
            link = self._link()
            if link is not None:
                try:
                    link.send(engine, entry.said, *self._ears(engine, entry))
                    return
                except FleetError as error:
                    told = {"ename": type(error).__name__, "evalue": str(error)}
                    self._note(engine, entry.here, "error", {**told, "traceback": [str(error)]})
            self._outbox.done(engine)

    def _ears(
        self, engine: int, entry: Entry
    ) -> tuple[Callable[[int, str, JsonDict], None], Callable[[JsonDict | None], None]]:
        """What gets the outputs of a callback, and its end, on kernelfleet's own thread."""

        def output(_engine: int, msg_type: str, content: JsonDict) -> None:
            self._post(self._note, engine, entry.here, msg_type, content)

        def end(error: JsonDict | None) -> None:
            self._post(self._sent, engine, entry, error)

        return output, end

    def _sent(self, engine: int, entry: Entry, error: JsonDict | None) -> None:
        self._outbox.done(engine)
        if error is not None and error.get("ename") != "EngineDied":
            line = f"{error.get('ename')}: {error.get('evalue')}"
            content = {**error, "traceback": error.get("traceback") or [line]}
            self._note(engine, entry.here, "error", content)
        self._send_next(engine)

    def _note(self, engine: int, here: str, msg_type: str, content: JsonDict) -> None:
        """Show what a callback has put out near the widget, or where its engine has one."""
        if msg_type == "input_request":
            return
        candidates = [place for place in reversed(self.places) if engine in place.engines]
        for place in candidates:
            if here not in place.holds:
                place.holds = {*place.roots, *self.states_of(place.roots)}
            if here in place.holds:
                place.note(engine, msg_type, content)
                return
        if candidates:
            candidates[0].note(engine, msg_type, content)

    def _link(self) -> CommLink | None:
        return next((link for link in self._links if link.is_open), None)

    # -- Output widgets ---------------------------------------------------------------------------

    def show_output(self, here: str, msg_type: str, content: JsonDict) -> None:
        """Show an output in an Output widget of the bridge itself."""
        self._outputs.add_one(here, msg_type, content, time.monotonic())
        self._wake.put(None)

    def _tell_outputs(self) -> None:
        with self.lock:
            now = time.monotonic()
            for here, outputs in self._outputs.for_frontend(now).items():
                self._change(here, {"outputs": outputs})
            for here, outputs in self._outputs.for_engines(now).items():
                origin = self._ids.origin(here)
                if origin is not None:
                    data: JsonDict = {"state": {"outputs": outputs}, "buffer_paths": []}
                    data = self._ids.to_engine(origin[0], {"method": "update", **data})
                    said = CommMessage(MESSAGE, origin[1], data)
                    self._outbox.add(origin[0], Entry(here, said, self.parent))
                    self._send_next(origin[0])

    def _change(self, here: str, values: JsonDict) -> None:
        if here in self._own:
            self._own[here] = self._own[here].updated(State(values))
        self._comms[here].send({"method": "update", "state": values, "buffer_paths": []})

    # -- widgets of the bridge itself -------------------------------------------------------------

    def open_own(self, values: JsonDict) -> str:
        """Open a widget that no engine has; its id."""
        here, data = uuid.uuid4().hex, {"state": values, "buffer_paths": []}
        opening = CommMessage(OPEN, here, data, [], models.METADATA, (WIDGET_TARGET, None))
        with self.lock:
            self._own[here] = State(values)
            self._comms[here] = LocalComm(self._kernel, self.parent, opening, self._from)
        return here

    def open_output(self, values: JsonDict) -> str:
        """Open an Output widget that no engine has."""
        here = self.open_own(values)
        self._outputs.open_own(here)
        return here

    def change_own(self, here: str, values: JsonDict) -> None:
        """Change a widget that no engine has."""
        with self.lock:
            if here in self._own:
                self._change(here, values)

    # -- states -----------------------------------------------------------------------------------

    def states_of(self, roots: Sequence[str]) -> dict[str, JsonDict]:
        """The values of widgets and of all that they name; empty if the controller is silent."""
        return {here: state.values for here, state in self._states(roots, own=False).items()}

    def _states(self, roots: Sequence[str] | None = None, *, own: bool = True) -> dict[str, State]:
        of = None
        if roots is not None:
            of = [origin for each in roots if (origin := self._ids.origin(each)) is not None]
        states = dict(self._own) if own else {}
        link = self._link()
        if link is None:
            return states
        with contextlib.suppress(FleetError, TimeoutError):
            for engine, said in link.states(of):
                here, state = self._ids.find(engine, said.comm_id), state_in(said)
                if here is not None and state is not None:
                    values = self._ids.to_here(engine, state.values)
                    states[here] = State(values, state.paths, state.buffers)
        return states


_bridges: weakref.WeakKeyDictionary[Any, dict[str, Bridge]] = weakref.WeakKeyDictionary()


def bridge_for(shell: Any, client: Any) -> Bridge:
    """The bridge of a client's fleet in the kernel of a notebook's shell.

    Called in the thread that makes a call, before it is made: what the call opens is then known.
    """
    bridges, fleet = _bridges.setdefault(shell, {}), fleet_of(client)
    bridge = bridges.get(fleet)
    if bridge is None or bridge.is_over:
        bridge = bridges[fleet] = Bridge(shell.kernel)
    bridge.parent = shell.kernel.get_parent("shell")
    bridge.add_client(client)
    return bridge
