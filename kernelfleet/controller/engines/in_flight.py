"""What a kernel is sent for each operation, and when its answer is complete.

An ``InFlight`` is one job that was sent to a kernel and has not ended. It collects what the kernel
answers and decides when that is complete; ``engine.py`` sends and receives. There are two kinds:

- ``NativeInFlight``: kernelfleet's own engines have request types of their own, take data in
  buffers, and say in a reply how many iopub messages belong to it, so that nothing waits for busy
  and idle.
- ``PortableInFlight``: every other Jupyter kernel gets ``execute_request``. Data for a Python
  kernel travels base64-encoded in ``user_expressions`` to code that was sent there at its start.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.session import Session

from kernelfleet.controller.engines.bootstrap import (
    expressions,
    script_code,
)
from kernelfleet.controller.engines.outputs import OutputLog
from kernelfleet.controller.engines.replies import (
    FORMS,
    asks_exit,
    broken,
    error_of,
    number_of,
    unsound_field,
)
from kernelfleet.controller.requests import Job, Request
from kernelfleet.wire.buffers.frames import from_frames
from kernelfleet.wire.buffers.shared_memory import LostSharedBuffer, SharedBuffer
from kernelfleet.wire.jupyter import KernelMessage, encode
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.operations import message_type
from kernelfleet.wire.outputs import OUTPUT_TYPES

#: The MIME type under which bootstrapped code returns its data.
DATA_MIME = "application/x-kernelfleet"

#: The longest reply of our own kernels without its buffers, which alone hold data.
MAX_REPLY_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class Outcome:
    """How a job has ended, for the client.

    Attributes:
        result: What is said about it.
        buffers: The frames of its data.
        outputs: What it has published, as pages (``wire/outputs.py``).
    """

    result: JsonDict
    buffers: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)


class InFlight(ABC):
    """One job on an engine, from sending to completion."""

    def __init__(self, job: Job, msg_id: str) -> None:
        self.job = job
        self.msg_id = msg_id
        self.log = OutputLog()
        self.reply: KernelMessage | None = None
        #: It was interrupted because its time was up.
        self.overdue = False
        #: None: the cell has not asked to exit; False: it has, and the kernel's death is awaited;
        #: True: the kernel was still there when the time for that was up.
        self.stayed: bool | None = None
        #: Why the kernel's answer cannot be used.
        self.problem = ""

    @property
    def complete(self) -> bool:
        """Whether everything that belongs to the job has arrived, or nothing usable will."""
        return bool(self.problem) or self._complete

    @property
    @abstractmethod
    def _complete(self) -> bool: ...

    def mark_malformed(self, problem: str) -> None:
        """Have the job end with an error, as the kernel's answer cannot be used."""
        self.problem = problem

    @property
    def aborted(self) -> bool:
        """Whether the kernel dropped the request unrun (another frontend's error did that)."""
        return self.reply is not None and self.reply.content.get("status") == "aborted"

    @property
    def exiting(self) -> bool:
        """Whether the cell asked its kernel to exit, in our words or in ipykernel's."""
        return self.reply is not None and asks_exit(self.reply.content)

    def take_reply(self, message: KernelMessage) -> None:
        """A reply on shell that names this request."""
        if message.problem:
            self.mark_malformed(message.problem)
        self.reply = message

    def take_iopub(self, message: KernelMessage, *, of_comms: bool = False) -> bool:
        """A published message that names this request; True if it is an output.

        Its content is kept as it is: who reads it will see whether it can be shown.

        Args:
            message: The message.
            of_comms: Whether it is for comms, and so no output of the request.
        """
        if of_comms or message.msg_type not in OUTPUT_TYPES:
            return False
        self.log.add(message.msg_type, message.packed)
        return True

    def outcome(self) -> Outcome:
        """How it has ended."""
        if not self.problem:
            outcome = self._outcome()
        else:
            text = f"engine {self.job.engine_id} sent a reply that cannot be used: {self.problem}"
            outcome = Outcome({"ok": False, "error": broken(text)})
        if self.overdue:
            outcome.result["overdue"] = True
        outcome.outputs = self.log.frames()
        return outcome

    @abstractmethod
    def _outcome(self) -> Outcome: ...


# -- native -----------------------------------------------------------------------------------


def encode_native(
    session: Session, request: Request, *, tell_imports: bool = False
) -> tuple[str, list[Any]]:
    """Pack a request in kernelfleet's own types; its payload frames are appended by the caller."""
    content = request.content_for_engine(tell_imports=tell_imports)
    return encode(session, message_type(request.operation.asks), content, own=True)


class NativeInFlight(InFlight):
    """Complete when the reply and as many iopub messages as it announces have arrived."""

    def __init__(self, job: Job, msg_id: str) -> None:
        super().__init__(job, msg_id)
        self.received = 0
        self.gave_up = False

    def take_reply(self, message: KernelMessage) -> None:
        """Take a reply; its shared memory is opened at once, before the engine releases it."""
        if len(message.packed) > MAX_REPLY_BYTES:
            message.mark_malformed(f"it has {len(message.packed)} bytes beside its data")
        if not message.problem and (name := unsound_field(message.content)) is not None:
            message.mark_malformed(f"its {name!r} makes no sense")
        if not message.problem:
            try:
                message.buffers = from_frames(message.buffers)
            except LostSharedBuffer as error:
                if error.owner_has_ended:
                    return  # killed before its reply was read: the engine's death ends the request
                message.mark_malformed(str(error))
        if message.problem:
            message.buffers = []
        super().take_reply(message)

    def take_iopub(self, message: KernelMessage, *, of_comms: bool = False) -> bool:  # noqa: D102
        self.received += 1
        return super().take_iopub(message, of_comms=of_comms)

    @property
    def _complete(self) -> bool:
        if self.reply is None:
            return False
        return self.gave_up or self.received >= self.reply.content.get("n_iopub", 0)

    def _outcome(self) -> Outcome:
        assert self.reply is not None
        content = self.reply.content
        keep = ("number", "translated", "started", "completed", "keys", "exiting", "made")
        result = {key: content[key] for key in keep if key in content}
        result["ok"] = content.get("status") == "ok"
        if not result["ok"]:
            known = ("ename", "evalue", "traceback", "kind", "name")
            told = {key: content[key] for key in known if key in content}
            result["error"] = {"ename": "", "evalue": "", **told}
        return Outcome(result, self.reply.buffers)


# -- portable ---------------------------------------------------------------------------------


def encode_portable(
    session: Session,
    request: Request,
    payload: list[Any],
    language: str,
    *,
    tell_imports: bool = False,
) -> tuple[str, list[Any]]:
    """Pack a request as ``execute_request``; a script is code to a kernel that is not Python's.

    What is for a comm is Jupyter's own message.
    """
    if request.operation.name == "comm":
        said = {key: request.content[key] for key in ("comm_id", "data")}
        metadata = request.content.get("metadata")
        msg_id, frames = encode(session, request.content["msg_type"], said, metadata)
        return msg_id, [*frames, *map(_buffer, payload)]
    content: JsonDict = {
        "code": "",
        "silent": True,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": False,
    }
    if request.operation.name == "execute":
        code, path = request.content["code"], request.content.get("script_path")
        if path is not None and language == "python" and not path.endswith(".ipy"):
            code = script_code(code, path, request.content["argv"])
        content.update(code=code, silent=False, store_history=True)
        if language == "python":
            content["user_expressions"] = expressions("made", {})
    else:
        data = [base64.b64encode(_buffer(frame)).decode() for frame in payload]
        said = request.content_for_engine(tell_imports=tell_imports)
        content["user_expressions"] = expressions(request.operation.asks, said, data)
    return encode(session, "execute_request", content)


class PortableInFlight(InFlight):
    """Complete when the reply and the idle status have arrived, in whichever order.

    An interrupt that lands in the kernel's own code eats the reply (ipykernel 7.4): idle without
    reply is fenced with a ``kernel_info_request``, whose answer proves that none will come.
    """

    def __init__(self, job: Job, msg_id: str) -> None:
        super().__init__(job, msg_id)
        #: Its code runs, or is about to: ipykernel (7.4) ignores SIGINT when it says "busy", and
        #: heeds it when it shows the input.
        self.begun = False
        self.idle = False
        self.reply_lost = False
        self._published_error: KernelMessage | None = None

    def take_iopub(self, message: KernelMessage, *, of_comms: bool = False) -> bool:  # noqa: D102
        if message.msg_type == "status":
            state = message.content.get("execution_state")
            self.idle = self.idle or state == "idle"
            self.begun = self.begun or (state == "busy" and self.job.operation.name != "execute")
        elif message.msg_type == "error":
            self._published_error = message
        self.begun = self.begun or message.msg_type == "execute_input"
        return super().take_iopub(message, of_comms=of_comms)

    @property
    def _complete(self) -> bool:
        return self.idle and (self.reply is not None or self.reply_lost)

    def _outcome(self) -> Outcome:
        if self.reply is None:
            error = {"ename": "KeyboardInterrupt", "evalue": "", "traceback": [], "kind": "user"}
            return Outcome({"ok": False, "error": error})
        content = self.reply.content
        result: JsonDict = {"ok": content.get("status") == "ok"}
        if self.job.operation.name == "execute":
            result["number"] = number_of(content)
        if not result["ok"]:
            result["error"] = self._error(content)
        elif self.job.operation.name != "execute":
            return self._data(content.get("user_expressions"))
        elif made := answered(content.get("user_expressions"))[1].get("made"):
            result["made"] = str(made)
        return Outcome(result)

    def _error(self, content: JsonDict) -> JsonDict:
        """The error, from iopub where it is told there: a formatter's failure is only there."""
        published = self._published_error
        return error_of(content if published is None or published.problem else published.content)

    def _data(self, values: Any) -> Outcome:
        expression, answer = answered(values)
        if expression is None:
            expression = {"evalue": f"engine {self.job.engine_id} sent no data with its reply"}
        try:
            frames = [base64.b64decode(frame) for frame in answer.pop("frames")]
            kept = ("keys", "started", "completed")
            result = {key: answer[key] for key in kept if FORMS[key].check.fits(answer.get(key))}
            result["ok"] = answer["ok"] is True
            if not result["ok"]:
                result["error"] = error_of(answer["error"])
                if answer["error"].get("kind") == "serialization":
                    result["error"]["kind"] = "serialization"
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            return Outcome({"ok": False, "error": error_of(expression)})
        return Outcome(result, frames)


class PortableComm(PortableInFlight):
    """A message for a comm has no reply: it is complete when the kernel is idle again."""

    @property
    def _complete(self) -> bool:
        return self.idle

    @property
    def aborted(self) -> bool:
        """No: a kernel that has dropped it tells nothing."""
        return False

    def _outcome(self) -> Outcome:
        return Outcome({"ok": True})


def portable_in_flight(job: Job, msg_id: str) -> PortableInFlight:
    """What a kernel that is not ours is about to be sent."""
    return (PortableComm if job.operation.name == "comm" else PortableInFlight)(job, msg_id)


def answered(values: Any) -> tuple[JsonDict | None, JsonDict]:
    """The values of ``user_expressions`` in a reply, from a kernel that may be broken.

    Returns:
        The value as the kernel told it, None if it is none, and the answer in it, empty if none.
    """
    expression = values.get("r") if isinstance(values, dict) else None
    if not isinstance(expression, dict):
        return None, {}
    try:
        answer = json.loads(expression["data"][DATA_MIME])
    except (KeyError, TypeError, ValueError, RecursionError):
        return expression, {}
    return expression, answer if isinstance(answer, dict) else {}


def _buffer(frame: Any) -> Any:
    if isinstance(frame, SharedBuffer):
        return frame.view()
    return getattr(frame, "buffer", frame)
