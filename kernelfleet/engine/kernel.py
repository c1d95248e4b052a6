"""EngineKernel: a Jupyter kernel that also answers the fleet's requests.

Every other message is left to ``JupyterKernel`` and ipykernel: an engine stays a complete Jupyter
kernel while a fleet uses it.
"""

# mypy: allow-untyped-calls
# ipykernel's and IPython's methods are untyped

from __future__ import annotations

import inspect
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import zmq
from traitlets import observe

from kernelfleet import __version__
from kernelfleet.engine.jupyter_kernel import JupyterKernel
from kernelfleet.engine.modules import imports
from kernelfleet.engine.peek import Peeker
from kernelfleet.engine.requests import Answer, Request, error_answer, parse, reply, unknown
from kernelfleet.engine.running import (
    asyncio_run,
    batches,
    execution,
    interrupts,
    preloaded,
    transformation,
)
from kernelfleet.engine.running.calls import call
from kernelfleet.engine.running.namespace import Namespace
from kernelfleet.engine.running.scripts import Script
from kernelfleet.engine.running.tracebacks import render, show_causes_where_they_were_raised
from kernelfleet.engine.shell_channel import ShellChannel
from kernelfleet.engine.values import Values
from kernelfleet.errors.tree import SerializationError, UnsupportedOperation
from kernelfleet.wire.buffers.frames import from_frames
from kernelfleet.wire.buffers.shared_memory import LostSharedBuffer, SharedBuffer, probe_succeeds
from kernelfleet.wire.files import packet_socket
from kernelfleet.wire.objects import arrivals
from kernelfleet.wire.objects.pythons import VERSION, asker
from kernelfleet.wire.objects.serialize import (
    pack,
    pack_namespace,
    unpack,
)
from kernelfleet.wire.operations import message_type

Handler = Callable[[Request], Answer | Awaitable[Answer]]
Send = Callable[[Answer], object]
#: On control a handler sends its reply itself: a peek replies later, and some requests have none.
ControlHandler = Callable[[Request, Send], None]


#: Where an engine is, as its identity tells.
PLACE = ("node", "local_rank", "local_size")


class EngineKernel(JupyterKernel):
    """One engine's kernel."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(user_module=preloaded.module(), **kwargs)
        self.namespace = Namespace(self.shell)
        arrivals.set_namespace_provider(self.namespace)
        execution.remember_shown_errors(self.shell)
        execution.survive_broken_texts(self.shell)
        transformation.pass_over_plain_code(self.shell)
        show_causes_where_they_were_raised(self.shell)
        self._peeker = Peeker(self.namespace)
        self._shares_memory = False
        #: Blocks that went out with the last reply, until the controller has opened them; by
        #: request, as word of the one before may come late.
        self._given: dict[str, list[SharedBuffer]] = {}
        #: The request whose serving an interrupt has ended; see ``answer_what_was_left``.
        self._left: Request | None = None
        self._on_shell: dict[str, Handler] = {
            message_type("setup"): self._setup,
            message_type("identity"): self._identify,
            message_type("execute"): self._execute,
            message_type("apply"): self._apply,
            message_type("push"): self._push,
            message_type("pull"): self._pull,
            message_type("keys"): self._keys,
            message_type("reset"): self._reset,
            message_type("comm"): self._comm,
        }
        self._on_control: dict[str, ControlHandler] = {
            message_type("identity"): self._identify_at_once,
            message_type("peek"): self._peek,
            message_type("interrupt"): self._interrupt,
            message_type("taken"): self._let_go,
            message_type("read"): self._note_reading,
        }

    def start(self) -> None:
        """Begin to serve; the loop of this thread is the kernel's from here on."""
        # Each engine has its own, also if its kernel was made before the fork (``prebuilt.py``).
        self._values = Values(self.shell, getattr(self.parent, "out_limit_bytes", None))
        preloaded.show(self.shell)
        super().start()
        self.shell_channel = ShellChannel(self)
        asyncio_run.install(self.io_loop.asyncio_loop)

    @observe("eventloop")
    def _read_no_packets(self, change: Any) -> None:
        """Read ZMQ only from now on: the loop of a GUI toolkit ends when that can be read."""
        if change.new is not None:
            self.shell_channel.read_no_packets()

    # -- dispatch ---------------------------------------------------------------------------

    async def dispatch_shell(
        self, msg: Any, /, subshell_id: str | None = None, *, concurrent: bool = False
    ) -> None:
        """Answer a request of the fleet; leave every other message to ipykernel."""
        try:
            request = parse(self.session, msg)
        except Exception:
            self.log.exception("invalid request")
            return
        if request is None:
            await super().dispatch_shell(msg, subshell_id, concurrent=concurrent)
        else:
            await self._serve(request)

    async def _serve(self, request: Request) -> None:
        iopub = self.iopub_thread
        try:
            self.set_parent([request.asker], request.as_parent(), channel="shell")
        except Exception:  # the user has put something else in the place of a stream
            self.log.debug("setting the parent of outputs", exc_info=True)
        iopub.start_counting(request.msg_id)
        # one subscriber is the controller; others see what they would see of any kernel
        observed = iopub.subscriptions > 1
        if observed:
            self._publish_status("busy", "shell")
        try:
            with interrupts.serving(request.msg_id):
                answer = await self._answer(request)
            self._flush_output()
            answer.content["n_iopub"] = iopub.count()
            blocks = [buffer for buffer in answer.buffers if isinstance(buffer, SharedBuffer)]
            if blocks:  # (what is asked beside the queue has none, and must not let go of others')
                self._given = {request.msg_id: blocks}
            try:
                packets = self.shell_channel.packets_to(request.asker)
                reply(self.session, self.shell_stream, request, answer, packets)
            except Exception as raised:  # a lost reply would be a hang
                self.log.exception("sending a reply")
                failed = error_answer(raised, kind="engine")
                failed.content["n_iopub"] = answer.content["n_iopub"]
                reply(self.session, self.shell_stream, request, failed)
        except KeyboardInterrupt:
            self._left = request
            raise
        finally:
            if observed:
                self._publish_status("idle", "shell")
        if answer.content.get("exiting"):
            self.parent.leave(0)

    def answer_what_was_left(self) -> None:
        """Answer the request whose serving an interrupt has ended, as nobody else will.

        Outside the user's code no interrupt is raised, but some of a dense burst can come through
        where the handler is changed (``interrupts.run_interruptible``). Called when one has ended
        the loop; whoever waits for the reply would wait for ever.
        """
        if (request := self._left) is not None:
            answer = error_answer(KeyboardInterrupt())
            answer.content["n_iopub"] = self.iopub_thread.count()
            reply(self.session, self.shell_stream, request, answer)
            self._left = None
            self.shell_channel.look_soon()

    async def _answer(self, request: Request) -> Answer:
        handler = self._on_shell.get(request.msg_type)
        if handler is None:
            return unknown(request)
        try:
            request.buffers = from_frames(request.buffers, with_files=True)
            if not imports.are_ready(request.content):
                return Answer({"status": "aborted"})  # it comes again, with the text
            answer = handler(request)
            if inspect.isawaitable(answer):
                answer = await answer
            return answer
        except LostSharedBuffer as raised:
            return error_answer(raised, kind="engine")
        except SerializationError as raised:
            return error_answer(raised, kind="serialization")
        except BaseException as raised:  # noqa: BLE001 - goes to the asker
            if isinstance(raised, KeyboardInterrupt):
                batches.stop_counting()
            return error_answer(raised, render(self.shell, raised))

    def _flush_output(self) -> None:
        for name in ("stdout", "stderr"):
            stream: Any = getattr(sys, name, None)
            try:
                read_descriptor = getattr(stream, "read_descriptor", None)
                if read_descriptor is not None:
                    read_descriptor()
                getattr(stream, "publish", stream.flush)()
            except Exception:  # the user may have put anything there
                self.log.debug("flushing %r", stream, exc_info=True)

    async def process_control(self, msg: Any) -> None:
        """Answer a request of the fleet on control; leave the rest to ipykernel."""
        try:
            request = parse(self.session, msg)
        except Exception:
            self.log.exception("invalid control request")
            return
        if request is None:
            await super().process_control(msg)
            return

        def send(answer: Answer) -> None:
            answer.content.setdefault("n_iopub", 0)
            stream = self.control_stream
            reply(self.session, stream, request, answer)
            if stream.socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
                stream.io_loop.add_callback(stream.flush, zmq.POLLIN)

        handler = self._on_control.get(request.msg_type)
        if handler is None:
            send(unknown(request))
        else:
            handler(request, send)

    def _identify_at_once(self, request: Request, send: Send) -> None:
        send(self._identify(request))

    def _peek(self, request: Request, send: Send) -> None:
        loop = self.control_stream.io_loop
        self._peeker.start(request, lambda answer: loop.add_callback(send, answer))

    def _interrupt(self, request: Request, send: Send) -> None:
        # The monotonic clock is one for all processes of a machine, and never jumps.
        in_time = time.monotonic() < request.content.get("until", float("inf"))
        if in_time:
            interrupts.want(request.content["msg_id"])
        # A controller that is late as well may read this before it gives up waiting for it.
        send(Answer({"status": "ok" if in_time else "aborted"}))

    def _let_go(self, request: Request, _send: Send) -> None:
        self._given.pop(request.content["of"], None)

    def _note_reading(self, request: Request, _send: Send) -> None:
        self.iopub_thread.outflow.read(request.content["bytes"])

    # -- operations in the order of the queue ------------------------------------------------

    def _setup(self, request: Request) -> Answer:
        answer = self._identify(request)
        self.iopub_thread.outflow.confirmed = bool(request.content.get("confirms_output"))
        self._shares_memory = probe_succeeds(request.content)
        if request.content.get("packets"):
            path = f"{self.parent.abs_connection_file}{packet_socket.SUFFIX}"
            answer.content["packets"] = self.shell_channel.listen(path, request.asker)
        answer.content.update(
            shares_memory=self._shares_memory,
            pid=os.getpid(),
            python=VERSION,
            kernelfleet=__version__,
            executable=sys.executable,
            host=socket.gethostname(),
        )
        return answer

    def _identify(self, request: Request) -> Answer:
        content = request.content
        place = {name: content[name] for name in PLACE if name in content}
        self.namespace.set_identity(content["engine_id"], content["n_engines"], **place)
        self.iopub_thread.outflow.share(content["n_engines"])
        return Answer({"status": "ok"})

    async def _execute(self, request: Request) -> Answer:
        code = request.content["code"]
        if self.iopub_thread.subscriptions > 1:
            parent = request.as_parent()
            self._publish_execute_input(code, parent, self.shell.execution_count)
        path = request.content.get("script_path")
        script = None if path is None else Script(path, request.content["argv"])
        self._forward_input(request.content.get("allow_stdin", False))
        try:
            outcome = await execution.run_cell(
                self.shell, self.namespace, code,
                store_history=request.content.get("store_history", True), script=script,
            )  # fmt: skip
        finally:
            self._restore_input()
        if outcome.error is None:
            answer = Answer({"status": "ok"})
        else:
            answer = error_answer(outcome.error, outcome.traceback)
        answer.content.update(number=outcome.number, exiting=outcome.exiting)
        if request.content.get("store_history", True) and (made := self._made(outcome.number)):
            answer.content["made"] = made
        if outcome.translated.rstrip("\n") != code.rstrip("\n"):
            answer.content["translated"] = outcome.translated.removesuffix("\n")
        return answer

    def _made(self, number: int) -> str:
        try:
            self._values.bound(number)
            return self._values.token(number)
        except Exception:  # the user has put anything in the place of Out
            self.log.debug("looking for the value", exc_info=True)
            return ""

    def _apply(self, request: Request) -> Answer | Awaitable[Answer]:
        function, args, kwargs = interrupts.run_interruptible(lambda: unpack(request.buffers))
        value = call(function, args, kwargs)
        if inspect.iscoroutine(value):
            return self._answer_with(request, value)
        return self._packed(request, value)

    async def _answer_with(self, request: Request, value: Awaitable[Any]) -> Answer:
        return self._packed(request, await value)

    def _packed(self, request: Request, value: Any) -> Answer:
        """Reply with a value, its large buffers in shared memory where that is shared."""
        others = asker(request.content.get("python"))
        try:
            frames = interrupts.run_interruptible(
                lambda: pack(
                    value,
                    shared=self._shares_memory,
                    other_pythons=others,
                    pieces=lambda: [("the result", value)],
                )
            )
        except UnsupportedOperation as refused:
            return error_answer(refused, kind="serialization")
        return Answer({"status": "ok"}, frames)

    def _push(self, request: Request) -> Answer:
        self.namespace.push(interrupts.run_interruptible(lambda: unpack(request.buffers)))
        return Answer({"status": "ok"})

    def _pull(self, request: Request) -> Answer:
        content, names = request.content, request.content["names"]
        if "made" in content:
            values = [self._values.get(content["number"], content["made"])]
        else:
            values = self.namespace.pull(names)
        try:
            return self._packed(request, values)
        except SerializationError:
            pack_namespace(dict(zip(names, values, strict=True)))  # to name the culprit
            raise

    def _keys(self, request: Request) -> Answer:
        return Answer({"status": "ok", "keys": self.namespace.keys()})

    def _reset(self, request: Request) -> Answer:
        self.namespace.reset()
        return Answer({"status": "ok"})

    def _comm(self, request: Request) -> Answer:
        """Hand a message of a frontend to its comm: the callbacks of widgets run."""
        content = request.content
        message = {
            **request.as_parent(),
            "content": {"comm_id": content["comm_id"], "data": content["data"]},
            "metadata": content.get("metadata", {}),
            "buffers": [memoryview(_bytes_of(frame)) for frame in request.buffers],
        }
        take = getattr(self.comm_manager, content["msg_type"])
        self._forward_input(allow_stdin=False)
        try:
            interrupts.run_interruptible(lambda: take(self.shell_stream, [request.asker], message))
        finally:
            self._restore_input()
        return Answer({"status": "ok"})


def _bytes_of(frame: Any) -> Any:
    return frame.view() if isinstance(frame, SharedBuffer) else getattr(frame, "buffer", frame)
