"""EngineKernel: ipykernel's kernel that answers the fleet's requests by itself.

Everything else, and every other client, is ipykernel's business: an engine stays a complete
Jupyter kernel while a fleet uses it.
"""

# mypy: allow-untyped-calls
# ipykernel's and IPython's methods are untyped

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import zmq
from ipykernel.ipkernel import IPythonKernel
from traitlets import Float

from kernelfleet import __version__
from kernelfleet.engine import debugging
from kernelfleet.engine.modules import imports
from kernelfleet.engine.peek import Peeker
from kernelfleet.engine.requests import Answer, Request, error_answer, parse, reply
from kernelfleet.engine.running import asyncio_run, execution, history, interrupts
from kernelfleet.engine.running.calls import call
from kernelfleet.engine.running.namespace import Namespace
from kernelfleet.engine.running.scripts import Script
from kernelfleet.engine.running.tracebacks import render, show_causes_where_they_were_raised
from kernelfleet.engine.values import Values
from kernelfleet.errors.tree import SerializationError, UnsupportedOperation
from kernelfleet.wire.objects import arrivals
from kernelfleet.wire.objects.pythons import VERSION, asker
from kernelfleet.wire.objects.serialize import (
    pack,
    pack_namespace,
    unpack,
)
from kernelfleet.wire.objects.shared_memory import (
    LostSharedBuffer,
    SharedBuffer,
    from_frames,
    probe_succeeds,
)

Handler = Callable[[Request], Answer | Awaitable[Answer]]


class EngineKernel(IPythonKernel):
    """One engine's kernel."""

    # ipykernel allows None where an application has set them
    shell: Any
    session: Any
    parent: Any
    control_stream: Any
    shell_stream: Any
    io_loop: Any

    _execute_sleep = Float(0.0).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.namespace = Namespace(self.shell)
        arrivals.set_namespace_provider(self.namespace)
        execution.remember_shown_errors(self.shell)
        execution.survive_broken_texts(self.shell)
        show_causes_where_they_were_raised(self.shell)
        self._values = Values(self.shell, getattr(self.parent, "out_limit_bytes", None))
        self._peeker = Peeker(self.namespace)
        self._shares_memory = False
        #: Blocks that went out with the last reply, until the controller has opened them; by
        #: request, as word of the one before may come late.
        self._given: dict[str, list[SharedBuffer]] = {}
        self._on_shell: dict[str, Handler] = {
            "fleet_setup_request": self._setup,
            "fleet_identity_request": self._identify,
            "fleet_execute_request": self._execute,
            "fleet_apply_request": self._apply,
            "fleet_push_request": self._push,
            "fleet_pull_request": self._pull,
            "fleet_keys_request": self._keys,
            "fleet_reset_request": self._reset,
        }

    def start(self) -> None:
        """Begin to serve; the loop of this thread is the kernel's from here on."""
        super().start()
        asyncio_run.install(self.io_loop.asyncio_loop)

    @property
    def _supports_kernel_subshells(self) -> bool:
        return bool(self.shell_channel_thread)  # ours is a falsy stand-in, see app.py

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
            self.set_parent(request.idents, request.as_parent(), channel="shell")
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
            self._given = {request.msg_id: blocks}
            try:
                reply(self.session, self.shell_stream, request, answer)
            except Exception as raised:  # a lost reply would be a hang
                self.log.exception("sending a reply")
                failed = error_answer(raised, kind="engine")
                failed.content["n_iopub"] = answer.content["n_iopub"]
                reply(self.session, self.shell_stream, request, failed)
        finally:
            if observed:
                self._publish_status("idle", "shell")
        if answer.content.get("exiting"):
            self.parent.leave(0)

    async def _answer(self, request: Request) -> Answer:
        handler = self._on_shell.get(request.msg_type)
        if handler is None:
            error: BaseException = NotImplementedError(request.msg_type)
            return error_answer(error, kind="engine")
        try:
            request.buffers = from_frames(request.buffers)
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
            reply(self.session, self.control_stream, request, answer)

        if request.msg_type == "fleet_peek_request":
            loop = self.control_stream.io_loop
            self._peeker.start(request, lambda answer: loop.add_callback(send, answer))
        elif request.msg_type == "fleet_identity_request":
            send(self._identify(request))
        elif request.msg_type == "fleet_interrupt_request":
            # (the monotonic clock is one for all processes of a machine, and never jumps)
            if time.monotonic() < request.content.get("until", float("inf")):
                interrupts.want(request.content["msg_id"])
            send(Answer({"status": "ok"}))
        elif request.msg_type == "fleet_taken_request":
            self._given.pop(request.content["of"], None)
        elif request.msg_type == "fleet_read_request":
            self.iopub_thread.outflow.read(request.content["bytes"])
        else:
            send(error_answer(NotImplementedError(request.msg_type), kind="engine"))

    # -- verbs ------------------------------------------------------------------------------

    def _setup(self, request: Request) -> Answer:
        answer = self._identify(request)
        self.iopub_thread.outflow.confirmed = bool(request.content.get("confirms_output"))
        self._shares_memory = probe_succeeds(request.content)
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
        self.namespace.set_identity(content["engine_id"], content["n_engines"])
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

    # -- what frontends ask beside the fleet ----------------------------------------------------

    def do_history(  # type: ignore[override]
        self,
        hist_access_type: str,
        output: bool,
        raw: bool,
        n: int | None = None,
        pattern: str | None = None,
        unique: bool = False,
        **others: Any,
    ) -> dict[str, Any]:
        """Answer ``tail`` and ``search`` from memory, where there is no database."""
        kept = self.shell.history_manager
        if kept.enabled or hist_access_type not in ("tail", "search"):
            wanted = {"n": n, "pattern": pattern, "unique": unique, **others}
            answer: dict[str, Any] = super().do_history(hist_access_type, output, raw, **wanted)
            return answer
        cells = kept.input_hist_raw if raw else kept.input_hist_parsed
        if hist_access_type == "tail":
            found = history.tail(cells, n)
        else:
            found = history.search(cells, pattern, n, unique=unique)
        outputs = kept.output_hist_reprs if output else None
        entries = history.entries(found, kept.session_number, outputs)
        return {"status": "ok", "history": entries}

    def _abort_queues(self, subshell_id: str | None = None) -> None:
        """Abort what waits behind a failing cell of a frontend, also if that cell has awaited.

        While a cell awaits, what arrives waits for ipykernel's lock. ipykernel (7.4) stops
        aborting in the next turn of the loop, before any of that has its turn.
        """
        self._aborting = True
        self.shell_stream.flush()
        self.io_loop.call_later(self.stop_on_error_timeout, self._stop_aborting)

    async def _stop_aborting(self) -> None:
        async with self._main_asyncio_lock:  # which is given in the order in which it is asked for
            self._aborting = False

    # -- debugger ---------------------------------------------------------------------------

    async def do_debug_request(self, msg: Any) -> Any:
        """Load the debugger when somebody debugs for the first time."""
        if getattr(self, "debugger", None) is None:
            self.debugger = debugging.create_debugger(self)
            if self.debugger is not None:
                self._stopped_queue = asyncio.ensure_future(super().poll_stopped_queue())
        return await super().do_debug_request(msg)

    async def poll_stopped_queue(self) -> None:
        """Wait for the debugger: ``do_debug_request`` starts the polling."""

    @property
    def kernel_info(self) -> dict[str, Any]:
        """Say that there is a debugger, though it is not loaded yet."""
        info: dict[str, Any] = super().kernel_info
        if debugging.is_installed() and "debugger" not in info["supported_features"]:
            info["supported_features"].append("debugger")
        return info

    # -- interrupt and end ------------------------------------------------------------------

    def _cancel_on_sigint(self, future: Any) -> Any:
        """Interrupt awaiting cells of other clients as promptly as the fleet's."""
        return interrupts.cancel_on_sigint(future)

    async def _progressively_terminate_all_children(self) -> None:
        """Leave the children to the controller: ipykernel 7.4 waits up to 2 x 14 s for them."""

    async def shutdown_request(self, stream: Any, ident: Any, parent: Any) -> None:
        """Reply, then leave for certain."""
        restart = bool(parent["content"].get("restart", False))
        content = {"status": "ok", "restart": restart}
        self.session.send(stream, "shutdown_reply", content, parent, ident=ident)
        stream.flush(zmq.POLLOUT)
        message = self.session.msg("shutdown_reply", content, parent)
        self.session.send(self.iopub_socket, message, ident=self._topic("shutdown"))
        self.parent.leave_soon()
