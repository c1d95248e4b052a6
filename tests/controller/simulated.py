"""A controller with its door and its engines in one process, without sockets and processes.

Everything between the sockets is real: ``Server``, ``Controller``, ``Engine``, the queues, both
dialects, and what ``KernelChannels`` makes of frames. Simulated are the two ends: what clients
send, and
how kernels answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import zmq

from kernelfleet.controller.comms.router import CommRouter
from kernelfleet.controller.controller import Controller
from kernelfleet.controller.door.server import Server
from kernelfleet.controller.engines.channels import KernelChannels
from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.engines.in_flight import InFlight
from kernelfleet.controller.engines.state import EngineState
from kernelfleet.controller.lifecycle.registry import EngineRegistry
from kernelfleet.controller.lifecycle.sizes import Sizes
from kernelfleet.controller.limits import Limits
from kernelfleet.controller.operations import CALLS
from kernelfleet.controller.options import FleetOptions
from kernelfleet.wire.chunks import IPC_FRAME_BYTES, Incoming
from kernelfleet.wire.codec import BadMessage, Codec
from kernelfleet.wire.files.connection_file import FleetFile
from kernelfleet.wire.handshake import connection_codecs
from kernelfleet.wire.jupyter import (
    decode,
    encode_compact,
    is_compact,
    make_session,
    open_compact,
)
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.versions import PROTOCOL_VERSION

KEY = "ab" * 32

#: Its frames in, what the kernel says instead out: (channel, frames) each.
Tamper = Callable[[str, list[bytes]], list[tuple[str, list[bytes]]]]


class SimulatedChannels(KernelChannels):
    """Kernels that answer at once, or when they are released; ``tamper`` changes what they say."""

    def __init__(self, session: Any, on_message: Any, log: logging.Logger) -> None:
        self._session, self._on_message, self._log = session, on_message, log
        self.bad_messages = 0
        self.tamper: Tamper | None = None
        self.held: list[Callable[[], None]] = []
        #: Whether requests that take an engine's turn wait for ``release``.
        self.holds = False

    def connect(self, identity: bytes, endpoints: Any) -> None: ...
    def disconnect(self, endpoints: Any) -> None: ...
    async def drain(self) -> None: ...
    def close(self) -> None: ...

    def send(self, channel: str, identity: bytes, frames: Sequence[Any]) -> None:
        if is_compact([identity, *frames]):
            asked = decode(self._session, [identity, *frames])
            header = {"msg_type": asked.msg_type, "msg_id": asked.parent_id}
        else:
            header = json.loads(frames[2])
        kind = header["msg_type"]

        def answer() -> None:
            for where, said in self._answers(channel, kind, header, identity):
                self.hear(where, said)

        takes_turn = channel == "shell" and kind not in ("fleet_setup_request", "complete_request")
        if self.holds and takes_turn:
            self.held.append(answer)
        elif channel != "stdin":
            asyncio.get_running_loop().call_soon(answer)

    def release(self) -> None:
        """Let them answer what they hold back."""
        held, self.held = self.held, []
        for answer in held:
            answer()

    def hear(self, channel: str, frames: list[bytes]) -> None:
        """Frames of a kernel arrive, as they are or otherwise."""
        said = [(channel, frames)] if self.tamper is None else self.tamper(channel, frames)
        for where, each in said:
            self._receive(where, [zmq.Frame(frame) for frame in each])

    def _answers(
        self, channel: str, kind: str, header: JsonDict, identity: bytes
    ) -> list[tuple[str, list[bytes]]]:
        def said(msg_type: str, content: JsonDict, of: bytes) -> list[bytes]:
            if msg_type.startswith("fleet_"):
                return [of, *encode_compact(self._session, msg_type, header["msg_id"], content)]
            message = self._session.msg(msg_type, content, parent={"header": header})
            message["header"]["session"] = identity.decode()
            frames: list[bytes] = self._session.serialize(message, [of])
            return frames

        reply: JsonDict = {"status": "ok"}
        if kind.startswith("fleet_"):
            reply |= {"n_iopub": 0, "started": 1.0, "completed": 2.0}
        if kind == "fleet_execute_request":
            text = {"name": "stdout", "text": "said\n"}
            shown = {"data": {"text/plain": "x"}, "metadata": {}, "transient": {"display_id": "d"}}
            failed = {"ename": "E", "evalue": "", "traceback": ["line"]}
            outputs: dict[str, JsonDict] = {"stream": text, "display_data": shown, "error": failed}
            reply |= {"number": 1, "n_iopub": len(outputs)}
            published = [("iopub", said(name, each, b"topic")) for name, each in outputs.items()]
        elif kind == "execute_request":
            reply |= {"execution_count": 1}
            states = ("busy", "idle")
            published = [
                ("iopub", said("status", {"execution_state": state}, b"status")) for state in states
            ]
        else:
            published = []
        return [*published, (channel, said(kind.replace("_request", "_reply"), reply, identity))]


def resaid(
    session: Any,
    frames: list[bytes],
    *,
    head: Callable[[JsonDict], JsonDict] = dict,
    content: Callable[[JsonDict], JsonDict] = dict,
) -> list[bytes]:
    """A message of an engine of our own said otherwise, and signed.

    Args:
        session: Signs.
        frames: The message, in the compact form.
        head: Changes its ``msg_type`` and ``msg_id``.
        content: Changes its content.
    """
    msg_type, msg_id, packed = open_compact(session, frames)
    said = head({"msg_type": msg_type, "msg_id": msg_id})
    content_said = content(json.loads(packed))
    compact = encode_compact(session, said["msg_type"], said["msg_id"], content_said)
    return [frames[0], *compact, *frames[4:]]


class SimulatedRegistry(EngineRegistry):
    """Five engines: ours, ours that waits for ``release``, a dead one, plain Python, and bash."""

    def __init__(self, log: logging.Logger) -> None:
        self.engines: dict[int, Engine] = {}
        self.sizes = Sizes()
        self.comms = CommRouter()
        self._listeners = [self.comms]
        self._options, self.worlds = FleetOptions(kernels=(None,)), None
        self.session = make_session(b"secret", "kernelfleet")
        self.channels: dict[int, SimulatedChannels] = {}
        self._log = log
        for engine_id, kernel in enumerate((None, None, None, "python3", "bash")):
            self._make(engine_id, kernel)
        self.channels[1].holds = True
        self.engines[2].detach(EngineState.DEAD, "EngineDied", "killed by signal 9", signal=9)

    def _make(self, engine_id: int, kernel: str | None) -> None:
        engine = Engine(engine_id, kernel, self.session, self._log, self._finished)
        engine.comms = self.comms.of_engine(engine_id)
        engine.language = kernel if kernel == "bash" else "python"
        session_id = f"session-of-{engine_id}"
        channels = SimulatedChannels(self.session, engine.take, self._log)
        incarnation: Any = SimpleNamespace(
            identity=session_id.encode(), endpoints=None, session_id=session_id, pid=None,
            connection_file="file", transport="ipc", started=1.0,
        )  # fmt: skip
        engine.attach(incarnation, channels)
        engine.ready()
        self.engines[engine_id], self.channels[engine_id] = engine, channels

    async def interrupt(self, engine: Engine, run: InFlight | None) -> None:
        del run
        self.channels[engine.id].release()

    async def restart(self, engines: Iterable[Engine]) -> None:
        del engines

    async def remove(self, engines: Iterable[Engine], why: str = "") -> None:
        del engines

    async def scale(self, n: int, kernel_name: str | None) -> None:
        del n, kernel_name

    async def stop(self) -> None: ...


class Telephone:
    """The pump of the door, and the door: what it sends goes to the client of that identity."""

    def __init__(self) -> None:
        self.clients: dict[bytes, SimulatedClient] = {}
        self.to_nobody = 0

    def send(self, frames: list[Any]) -> None:
        client = self.clients.get(bytes(frames[0]))
        if client is None:
            self.to_nobody += 1
        else:
            client.hear([bytes(memoryview(frame)) for frame in frames[1:]])

    def let_in(self, frame: zmq.Frame) -> None: ...

    def close(self, linger: float = 0.0) -> None: ...


class Fleet:
    """All of it, and whatever went wrong on the loop. Make it while a loop runs."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.complaints: list[str] = []
        log = logging.Logger("simulated")
        log.addHandler(_Errors(self.complaints))
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))
        self.registry = SimulatedRegistry(log)
        self.controller = Controller("x", self.registry, CALLS, log, lambda: None, limits)
        file = FleetFile(name="x", pid=1, host="here", started=0.0, key=KEY)
        self.server = Server(self.controller, zmq.Context.instance(), file, log)
        telephone: Any = Telephone()
        self.telephone: Telephone = telephone
        self.server._doors[telephone] = telephone, IPC_FRAME_BYTES

    def say(self, identity: bytes, frames: list[bytes]) -> None:
        """Frames arrive at the door."""
        arrived = [zmq.Frame(frame) for frame in (identity, *frames)]
        pump: Any = self.telephone
        self.server._on_frames(pump, arrived)

    async def settle(self, done: Callable[[], bool] = lambda: True) -> None:
        """Let everything that can end, end; what has to wait for a clock is given up on."""
        for _ in range(1000):
            for channels in self.registry.channels.values():
                channels.release()
            for _ in range(3):
                await asyncio.sleep(0)
            if not self.controller.running and done():
                return

    def close(self) -> None:
        self.server.close()


class _Errors(logging.Handler):
    """What is logged as an error is a bug: nothing that comes in may lead there."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._complaints = complaints
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self._complaints.append(self.format(record))


class SimulatedClient:
    """A client by hand: it knows the keys, counts, and remembers what it was answered."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self._fleet, self._prefix = fleet, name
        self._sessions = 0
        self.connect()

    def connect(self) -> None:
        """Open a line for a new session, under a new name as every client does."""
        self._sessions += 1
        self.name = f"{self._prefix}-{self._sessions}"
        self.identity = self.name.encode()
        self._fleet.telephone.clients[self.identity] = self
        self.codec = self._hears = Codec(bytes.fromhex(KEY))
        self.joiner = Incoming()
        self.n = self.received = 0
        self.replies: Counter[int] = Counter()
        self.headers: dict[int, JsonDict] = {}
        self.challenge: JsonDict = {}
        self.forgotten = False
        hello = {"type": "hello", "version": PROTOCOL_VERSION, "client": self.name, "nonce": "o"}
        self.send(hello)
        self.codec, self._hears = connection_codecs(
            bytes.fromhex(KEY), self.name, "o", self.challenge["challenge"]
        )
        self.send({"type": "open"})

    def forget_line(self) -> None:
        """The session is over."""
        del self._fleet.telephone.clients[self.identity]

    @property
    def session(self) -> Any:
        """What the door knows of this client; None if it has been forgotten."""
        return self._fleet.server._sessions.get(self.name)

    def send(self, header: JsonDict, buffers: Sequence[bytes] = ()) -> None:
        self._fleet.say(self.identity, self.codec.encode(header, buffers))

    def ask(self, header: JsonDict, buffers: Sequence[bytes] = ()) -> int:
        """Send a request with the next number."""
        self.n += 1
        self.send({"type": "request", "n": self.n, "ack": self.received, **header}, buffers)
        return self.n

    def hear(self, frames: list[bytes]) -> None:
        try:
            header, buffers = self._hears.decode(frames)
        except BadMessage as error:
            raise AssertionError(f"the controller sent what is no message: {error}") from error
        if header["type"] == "part":
            whole = self.joiner.take(header, buffers)
            self._fleet.say(self.identity, self.codec.encode(self.joiner.confirmation))
            if whole is not None:
                self.hear(whole)
            return
        if header["type"] == "challenge":
            self.challenge = header
        self.forgotten = header["type"] == "forgotten"
        n = header.get("n")
        if n is None or n <= self.received:
            return  # unnumbered, or sent again
        assert n == self.received + 1, "messages in order"
        self.received = n
        if header["type"] == "reply":
            self.replies[header["to"]] += 1
            self.headers[header["to"]] = header
