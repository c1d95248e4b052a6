"""What stands for the controller in a client: it sends requests and resolves their futures.

It also knows the engines as the controller last reported them. A ``MultiEngineClient`` and its
views share one; it may be used from any thread. Messages of the controller arrive on the loop
thread; user code is never run there, except functions of ``add_done_callback`` and ``on_output``.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kernelfleet import errors
from kernelfleet.client import imports
from kernelfleet.client.results.replies import Reply
from kernelfleet.errors.tree import ControllerUnreachable, FleetError, MessageTooLarge
from kernelfleet.session import ctrl_c
from kernelfleet.session import loop as loop_thread
from kernelfleet.session.future import Future
from kernelfleet.session.transport import Transport
from kernelfleet.wire.buffers.frames import frame_bytes
from kernelfleet.wire.buffers.shared_memory import SharedBuffer
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.pythons import NONE, OtherPythons, differs
from kernelfleet.wire.operations import NEEDING_IMPORTS
from kernelfleet.wire.outputs import content_of, read_pages

OnOutput = Callable[[int, str, JsonDict], None]

#: Seconds that a controller may take to welcome a client over a slow network. Silence ends the
#: wait sooner; see ``session/timing.py``.
CONNECT_TIMEOUT = 10.0
#: Longer code is refused as data: JSON may need 12 bytes per character, and code is sent twice,
#: from the client to the controller and from there to the engine.
MAX_CODE_CHARACTERS = 8 * 1024 * 1024


@dataclass(slots=True)
class _Waiting:
    future: Future[Any]
    on_output: OnOutput | None
    #: Under which id the result can be asked for later; None if it is not kept.
    result_id: str | None
    #: The ids of results that the request has told the controller to let go of.
    released: list[str]


@dataclass(slots=True)
class KnownEngines:
    """The engines as the controller last reported them."""

    ids: list[int] = field(default_factory=list)
    dead: dict[int, str] = field(default_factory=dict)
    total: int = 0
    #: The Python of the engines whose code objects this process cannot use, by engine id.
    other_pythons: dict[int, str] = field(default_factory=dict)

    def others(self, engines: Iterable[int]) -> OtherPythons:
        """Which of these engines run another Python, in the form in which ``pack`` takes it."""
        if not self.other_pythons:
            return NONE  # the usual case, at no cost
        others = self.other_pythons
        return {f"engine {each}": others[each] for each in engines if each in others}


class ControllerProxy:
    """The controller, as a client sees it. ``make_transport`` is called on the loop thread."""

    def __init__(
        self,
        thread: loop_thread.LoopThread,
        make_transport: Callable[[str, ControllerProxy], Transport],
        where: str,
    ) -> None:
        self.client_id = uuid.uuid4().hex
        self.where = where
        self.roster = KnownEngines()
        self.fleet: JsonDict = {}
        #: The engine of this fleet that this process is, as a tuple of its id, or of None where it
        #: is none; None before the controller was asked.
        self.own_engine: tuple[int | None] | None = None
        self._thread = thread
        self._transport: Transport | None = None
        self._waiting: dict[int, _Waiting] = {}
        #: Why the controller does not answer: for now, and for good.
        self._away: str | None = None
        self._lost: str | None = None
        self._closed = False
        self._welcomed: Future[None] = Future()
        self._numbers = itertools.count(1)
        self._released: deque[str] = deque()
        #: The id of the list of imports that the controller has.
        self._told_imports: str | None = None
        self._close_lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        #: Gets comm messages of engines as the controller lists them, on the loop thread.
        self.on_comms: Callable[[list[JsonDict], list[Any]], object] = lambda *_: None
        with ctrl_c.held(lambda: thread.call(self._refuse)):
            thread.call(self._open, make_transport)
            try:
                self._welcomed.result(CONNECT_TIMEOUT)
            except TimeoutError:
                self.close()
                raise ControllerUnreachable(self._unreachable("no answer")) from None
            except BaseException:
                self.close()
                raise

    # -- on the loop thread ---------------------------------------------------------------------

    def _open(self, make_transport: Callable[[str, ControllerProxy], Transport]) -> None:
        try:
            self._transport = make_transport(self.client_id, self)
        except Exception as error:  # noqa: BLE001 (raised in the caller's thread)
            if not self._welcomed.done():
                self._welcomed.set_exception(error)

    def _refuse(self) -> None:
        """Give up waiting for the welcome, after Ctrl-C."""
        if not self._welcomed.done():
            self._welcomed.set_exception(KeyboardInterrupt())

    def receive(self, header: JsonDict, buffers: list[Any]) -> None:
        """Take a message of the controller."""
        kind = header["type"]
        if kind == "reply":
            waiting = self._waiting.pop(header["to"], None)
            if "refused" in header:
                self._told_imports = None  # it may have come with this request
            if waiting is not None and not waiting.future.done():
                waiting.future.set_result(Reply(header, buffers))
        elif kind == "event":
            self._take_event(header, buffers)
        elif kind == "welcome":
            self.fleet, self._away, self._told_imports = header, None, None
            self._take_roster(header["roster"])
            if not self._welcomed.done():
                self._welcomed.set_result(None)

    def _take_event(self, header: JsonDict, buffers: list[Any]) -> None:
        if header["event"] == "roster":
            self._take_roster(header["roster"])
        elif header["event"] == "output":
            waiting = self._waiting.get(header["to"])
            if waiting is not None and waiting.on_output is not None:
                for published in read_pages(buffers):
                    content = content_of(published)
                    if content is not None:
                        waiting.on_output(header["engine"], published.msg_type, content)
        elif header["event"] == "comms":
            self.on_comms(header["messages"], buffers)
        elif header["event"] == "stopped":
            self.lost("the fleet was stopped")

    def _take_roster(self, roster: JsonDict) -> None:
        dead = {int(engine_id): how for engine_id, how in roster["dead"].items()}
        told = roster.get("pythons", {}).items()
        others = {int(engine): version for engine, version in told if differs(version)}
        self.roster = KnownEngines(list(roster["ids"]), dead, roster["total"], others)
        self._tell_change()

    def away(self, reason: str) -> None:
        """The controller does not answer: fail requests until the next welcome."""
        self._away = reason
        self._fail_what_waits()

    def lost(self, reason: str) -> None:
        """The controller is gone for good: fail all requests, and every new one."""
        self._lost = self._lost or reason
        if not self._welcomed.done():
            self._welcomed.set_exception(self._gone())
        self._fail_what_waits()

    def _fail_what_waits(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            self._released.extend(each.released)  # sent again: it may not have arrived
            if not each.future.done():
                each.future.set_exception(self._gone(each.result_id))
        self._tell_change()

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is awaited."""
        return bool(self._waiting)

    def _unreachable(self, reason: str) -> str:
        return (
            f"no controller at {self.where}: {reason}; "
            "see `kernelfleet list`, or start one with `kernelfleet start -n 4`"
        )

    def _unanswered(self, reason: str, result_id: str | None) -> str:
        text = f"{self._unreachable(reason)}. This client keeps trying, and works again when it is"
        if result_id is None:
            return f"{text} there"
        return (
            f"{text} there: mec.pending_result({result_id!r}) then has what came of this call, if "
            "it had arrived"
        )

    def _send(self, header: JsonDict, buffers: list[Any], waiting: _Waiting) -> None:
        if not self.is_open or self._transport is None:
            self._released.extend(waiting.released)
            waiting.future.set_exception(self._gone())
            return
        if "imports" in header:
            if header["imports"] == self._told_imports:
                del header["imports_text"]
            self._told_imports = header["imports"]
        # The number comes first: an embedded controller answers while its transport sends.
        numbered = self._transport.number(header, buffers)
        self._waiting[numbered["n"]] = waiting
        self._transport.send(numbered, buffers)

    def _gone(self, result_id: str | None = None) -> FleetError:
        if self._closed:
            return FleetError("this client is closed: make a new one")
        if self._lost is None and self._away is not None:
            text = self._unanswered(self._away, result_id)
            return ControllerUnreachable(text, result_id=result_id)
        return ControllerUnreachable(self._unreachable(self._lost or "it is gone"))

    # -- from any thread ------------------------------------------------------------------------

    @property
    def shares_memory(self) -> bool:
        """Whether large buffers may travel as blocks of shared memory."""
        return bool(self.fleet.get("shares_memory"))

    def next_result_id(self) -> str:
        """A fresh id; ``mec.pending_result(id)`` finds the result with it, also from elsewhere.

        People read it in tables and type it, so it is short: 48 random bits and a number.
        """
        return f"{self.client_id[:12]}-{next(self._numbers)}"

    def request(
        self,
        header: JsonDict,
        buffers: list[Any],
        on_output: OnOutput | None = None,
        future: Future[Any] | None = None,
    ) -> Future[Any]:
        """Send a request; requests of one thread keep their order.

        Args:
            header: What is asked.
            buffers: Its data.
            on_output: Gets output as it comes, on the loop thread.
            future: Gets the reply; None makes one.

        Raises:
            ControllerUnreachable: the controller is gone, or does not answer now.
            FleetError: the client is closed, or was made before a fork.
            MessageTooLarge: it is more than the fleet takes; nothing was sent.
        """
        if not self.is_open:
            raise self._gone()
        if str(header.get("operation")) in NEEDING_IMPORTS:
            told = imports.told(with_files=not self.fleet.get("shares_files"))
            header["imports"], header["imports_text"] = told.id, told.text
        _check_size(header, buffers, self.fleet.get("message_bytes"))
        released = self._take_released() if self._released else []
        if released:
            header["release"] = released
        result_id = header.get("result_id") if header.get("keep", True) else None
        future = Future() if future is None else future
        waiting = _Waiting(future, on_output, result_id, released)
        self._thread.call(self._send, header, buffers, waiting)
        return waiting.future

    def call(self, verb: str, timeout: float | None = None, **fields: Any) -> Reply:
        """Ask the controller something beside the queues and wait for the answer."""
        if self._thread.is_current:
            raise FleetError(
                "a blocking call was made on kernelfleet's own thread: use block=False"
            )
        future = self.request({"type": "request", "operation": verb, **fields}, [])
        return raise_if_refused(future.result(timeout))

    def release(self, result_id: str) -> None:
        """Note that this client no longer holds a result; the next request tells the controller."""
        self._released.append(result_id)

    def _take_released(self) -> list[str]:
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._released.popleft())
        return taken

    def check_process(self) -> None:
        """Raise a FleetError in a forked child, where nothing will ever arrive."""
        self._thread.check_process()

    @property
    def is_open(self) -> bool:
        """Whether requests can be made, now."""
        return not self._closed and self._lost is None and self._away is None

    @property
    def is_over(self) -> bool:
        """Whether requests can never be made again."""
        return self._closed or self._lost is not None

    @property
    def state(self) -> str:
        """``open``, ``closed``, or ``unreachable``, for now or for good."""
        if self._closed:
            return "closed"
        return "open" if self.is_open else "unreachable"

    def when_changed(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` when engines come or go, or requests can be made no more.

        It is called on the loop thread. Returns a function that ends this.
        """
        self._listeners.append(listener)

        def forget() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return forget

    def _tell_change(self) -> None:
        for listener in list(self._listeners):
            listener()

    def close(self) -> None:
        """End the client, not the fleet. What still waits fails. Safe to call twice."""
        with ctrl_c.held():
            with self._close_lock:
                if self._closed:
                    return
                self._closed = True
            with contextlib.suppress(FleetError):
                if self._thread.is_current:
                    self._close_on_loop()
                else:
                    self._thread.run(self._close_soon(), finish=True)
            loop_thread.release(self._thread)

    async def _close_soon(self) -> None:
        self._close_on_loop()

    def _close_on_loop(self) -> None:
        if self._transport is not None:
            self._transport.close()
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            if not each.future.done():
                each.future.set_exception(
                    FleetError("the client was closed before the result came")
                )
        self._tell_change()


def _check_size(header: JsonDict, buffers: list[Any], limit: int | None) -> None:
    content = header.get("content")
    code = content.get("code") if isinstance(content, dict) else None
    if isinstance(code, str) and len(code) > MAX_CODE_CHARACTERS:
        raise MessageTooLarge(
            f"code of {len(code)} characters; at most {MAX_CODE_CHARACTERS} can be sent: push data"
        )
    size = sum(frame_bytes(each) for each in buffers if not isinstance(each, SharedBuffer))
    if limit is not None and size > limit:
        raise MessageTooLarge(
            f"this call sends {size} bytes, and this fleet takes {limit} at once: send less in "
            f"each call, or start the fleet with a higher Limits.message_bytes"
        )


def raise_if_refused(reply: Reply) -> Reply:
    """Give the reply back, or raise why the controller did not take the request."""
    refused = reply.header.get("refused")
    if refused is None:
        return reply
    kind = getattr(errors, refused["ename"], None)
    if isinstance(kind, type) and issubclass(kind, FleetError):
        raise kind(refused["evalue"])
    if refused["ename"] == "ValueError":
        raise ValueError(refused["evalue"])
    raise FleetError(f"{refused['ename']}: {refused['evalue']}")


def close_when_collected(owner: object, connection: ControllerProxy) -> None:
    """Close the connection when its last client is garbage."""
    weakref.finalize(owner, connection.close).atexit = False
