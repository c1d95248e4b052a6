"""One engine as the controller sees it: its queue, the job that runs, its present incarnation.

::

    put(job) -> EngineQueue -> InFlight --shell--> kernel
                                  ^                   |
            job.resolve(result) <-+-- reply, iopub ---+

Everything happens on the controller's loop. The rules of the queue are in ``queue.py``, what the
messages mean in ``in_flight.py``, processes in ``lifecycle/launcher.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from logging import Logger
from typing import Any

from jupyter_client.session import Session

from kernelfleet.controller.comms.engine_comms import EngineComms
from kernelfleet.controller.engines.channels import KernelChannels
from kernelfleet.controller.engines.encoding import encoded
from kernelfleet.controller.engines.in_flight import (
    InFlight,
    NativeInFlight,
    Outcome,
    portable_in_flight,
)
from kernelfleet.controller.engines.outputs import ReadBytes
from kernelfleet.controller.engines.packets import Packets
from kernelfleet.controller.engines.queue import EngineQueue
from kernelfleet.controller.engines.state import EngineState, check_change
from kernelfleet.controller.engines.waiting import AwaitedReplies, Drain, fail_quietly, failed
from kernelfleet.controller.lifecycle.incarnation import Incarnation
from kernelfleet.controller.lifecycle.restart_policy import RestartPolicy
from kernelfleet.controller.requests import Job
from kernelfleet.controller.timing import EXIT_SECONDS, IOPUB_LAG_SECONDS
from kernelfleet.wire.buffers.shared_memory import SharedBuffer
from kernelfleet.wire.jupyter import KernelMessage, encode
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.operations import Operation, message_type, why_not_portable

NOT_READY = "not ready"  # why a queue is held
ANY_TYPE = ""  # stands for every message type of a channel that has no handler of its own


class Engine:
    """An engine id with its queue; survives restarts, while incarnations come and go."""

    def __init__(
        self,
        engine_id: int,
        kernel_name: str | None,
        session: Session,
        log: Logger,
        on_finished: Callable[[Engine, InFlight, Outcome], None],
    ) -> None:
        self.id, self.kernel_name = engine_id, kernel_name
        self.native = kernel_name is None
        self.language = "python"
        #: Whether engine and controller can open each other's shared memory.
        self.shares_memory = False
        self.session = session
        #: Changed by ``move_to`` only.
        self.state = EngineState.STARTING
        self.death = ""
        self.queue: EngineQueue[Job] = EngineQueue()
        self.run: InFlight | None = None
        #: When ``run`` was sent, in seconds since the epoch.
        self.run_since = 0.0
        self._last_msg_id = ""
        self._read = ReadBytes(self.tell if self.native else None)
        #: Names of the lists of importable modules that this process has received.
        self._told_imports: set[str] = set()
        self.incarnation: Incarnation | None = None
        self.channels: KernelChannels | None = None
        self.packets: Packets | None = None
        self.executed = 0
        self.properties: JsonDict = {}
        self.restart_policy = RestartPolicy()
        self.info: JsonDict = {}
        #: Replies that are awaited beside the queue.
        self.awaited = AwaitedReplies()
        self.welcome: asyncio.Future[None] | None = None
        #: Set once iopub messages of the present process have reached us.
        self.heard = asyncio.Event()
        #: Only during a restart: done when the restart has ended.
        self.restarting: asyncio.Future[None] | None = None
        self._drain = Drain()
        #: The timer that ends the wait for output that a reply has announced.
        self._lag: asyncio.TimerHandle | None = None
        self.comms = EngineComms(engine_id)
        self._log = log
        self._on_finished = on_finished
        self.queue.hold(NOT_READY)

    # -- state ----------------------------------------------------------------------------------

    @property
    def registered(self) -> bool:
        """Whether it takes work: targets='all' includes it."""
        return self.state is EngineState.UP

    @property
    def python(self) -> str | None:
        """The version of its Python; None before it answers, or for another language."""
        return version if isinstance(version := self.info.get("python"), str) else None

    def move_to(self, state: EngineState, death: str = "") -> None:
        """Change the state; ``death`` says how it ended, if it did.

        Raises:
            IllegalStateChange: that state cannot follow the present one.
        """
        check_change(self.state, state)
        self.state, self.death = state, death

    def attach(self, incarnation: Incarnation, channels: KernelChannels) -> None:
        """Take a new process, which is not ready for work yet."""
        self.incarnation, self.channels = incarnation, channels
        self.move_to(EngineState.STARTING)
        self.info, self.executed = {}, 0
        self._told_imports.clear()
        self.welcome = asyncio.get_running_loop().create_future()
        self.heard.clear()
        channels.connect(incarnation.identity, incarnation.endpoints)

    def ready(self) -> None:
        """The engine has started up: begin with what waits in the queue."""
        self.move_to(EngineState.UP)
        self.queue.release(NOT_READY)
        self.start_next()

    def retire(self) -> None:
        """Its end has begun: accept nothing more, and start nothing that waits."""
        if self.registered:
            self.move_to(EngineState.STOPPING)
        if NOT_READY not in self.queue.holds:
            self.queue.hold(NOT_READY)

    def restarted(self, outcome: BaseException | None) -> None:
        """End the restart for those who wait for it, with its error if there was one."""
        restarting, self.restarting = self.restarting, None
        if restarting is None or restarting.done():
            return
        if outcome is None:
            restarting.set_result(None)
        elif isinstance(outcome, asyncio.CancelledError):
            restarting.cancel()
        else:
            restarting.set_exception(outcome)
            restarting.exception()  # mark it as retrieved: perhaps nobody waits

    def detach(self, state: EngineState, ename: str, cause: str, **details: Any) -> None:
        """The process is gone: fail what ran and what waited, and hold the queue."""
        self.move_to(state, cause)
        lost = self.queue.fail_all()
        if NOT_READY not in self.queue.holds:
            self.queue.hold(NOT_READY)
        run, self.run = self.run, None
        error = {"ename": ename, "evalue": cause, "kind": "engine"}
        if run is not None:
            self._on_finished(self, run, Outcome({"ok": False, "error": error}))
        for job in lost:
            outputs = run.log.frames() if run is not None and job is run.job else []
            job.fail(
                ename, cause, outputs=outputs, ran=run is not None and run.job is job, **details
            )
        self._drain.is_over()
        self.comms.close_all(cause)
        self.awaited.fail(gone := ConnectionError(f"engine {self.id}: {cause}"))
        if self.welcome is not None:
            fail_quietly(self.welcome, gone)
        self.close_packets()
        if self.channels is not None and self.incarnation is not None:
            self.channels.disconnect(self.incarnation.endpoints)
        self.incarnation = None

    def close_packets(self) -> None:
        """Neither send nor hear packets any more."""
        if self.packets is not None:
            self.packets.close()
        self.packets = None

    def unsupported(self, operation: Operation) -> str | None:
        """Why this kernel cannot do an operation; None if it can."""
        if self.native:
            return None
        kernel = f"engine {self.id} runs the kernel {self.kernel_name!r} ({self.language})"
        reason = why_not_portable(operation, self.language, self.info.get("no_functions"))
        return f"{kernel}, which cannot {operation.name}: {reason}" if reason else None

    # -- work -----------------------------------------------------------------------------------

    def put(self, job: Job) -> None:
        """Queue a job; it starts at once if nothing runs."""
        self.queue.put(job)
        self.comms.note_request(job)
        if self.run is None:
            self.start_next()

    def start_next(self) -> None:
        """Send what is first in the queue, if nothing runs and nothing holds it."""
        while (job := self.queue.start_next()) is not None:
            try:
                msg_id, frames = encoded(
                    job,
                    self.session,
                    language=None if self.native else self.language,
                    shares_memory=self.shares_memory,
                    told_imports=self._told_imports,
                )
            except (OSError, ValueError, RecursionError) as error:  # e.g. no memory to map a buffer
                self._clear_behind(failed=True)
                job.fail("EngineError", f"it could not be sent to engine {self.id}: {error}")
                continue
            self.run = (NativeInFlight if self.native else portable_in_flight)(job, msg_id)
            self.run_since = time.time()
            self._send("shell", frames)
            job.request.on_start(self.id)
            return
        if self.run is None and not len(self.queue):
            self._drain.is_over()

    async def drained(self) -> None:
        """Return when nothing runs and nothing waits here, or the engine is gone."""
        if self.run is not None or len(self.queue):
            await self._drain.wait()

    def take(self, channel: str, message: KernelMessage) -> None:
        """Handle a message of the kernel, which runs user code and may send anything."""
        handlers = _MESSAGE_HANDLERS
        handler = handlers.get((channel, message.msg_type)) or handlers[channel, ANY_TYPE]
        try:
            handler(self, message)
        except Exception as error:  # noqa: BLE001 (logged, and the request that runs fails)
            self._log.exception("a message of engine %d could not be handled", self.id)
            self._mark_malformed(f"{type(error).__name__}: {error}")

    def _take_iopub_welcome(self, message: KernelMessage) -> None:
        """The kernel confirms that we are subscribed to what it publishes."""
        self._note_iopub(message)
        if self.welcome is not None and not self.welcome.done():
            self.welcome.set_result(None)

    def _take_iopub(self, message: KernelMessage) -> None:
        """Output or a change of status; what comes after its request has ended is dropped."""
        self._note_iopub(message)
        run = self.run
        of_comms = self.comms.take(message, run)
        if run is not None and message.parent_id == run.msg_id:
            if run.take_iopub(message, of_comms=of_comms):
                self._stream(message)
            self.finish_if_complete()

    def _note_iopub(self, message: KernelMessage) -> None:
        self.heard.set()
        self._read.add(len(message.packed))

    def _take_input_request(self, message: KernelMessage) -> None:
        """What ``input()`` asks goes to the client among the outputs; see ``input_reply``."""
        if self.run is not None and message.parent_id == self.run.msg_id:
            self._stream(message)

    def _take_beside(self, message: KernelMessage) -> None:
        """A message that only somebody who waits for it can use."""
        self.awaited.take(message)

    def _take_shell(self, message: KernelMessage) -> None:
        """A reply: somebody waits for it, or it is of the request in flight."""
        if self.awaited.take(message):
            return
        run = self.run
        if run is None or message.parent_id != run.msg_id:
            if problem := self._why_unexpected(message):
                self._mark_malformed(problem)
            return
        run.take_reply(message)
        if any(isinstance(buffer, SharedBuffer) for buffer in message.buffers):
            # They are open here now: the engine need not keep them any longer.
            self.tell("control", message_type("taken"), {"of": message.parent_id})
        if not run.complete:
            self._expect_the_rest(run)
        self.finish_if_complete()

    def _stream(self, message: KernelMessage) -> None:
        """Show output of the request in flight to whoever follows it."""
        if self.run is not None and self.run.job.request.on_output is not None:
            self.run.job.request.on_output(self.id, message.msg_type, message.packed)

    def _why_unexpected(self, message: KernelMessage) -> str:
        """What is wrong with a reply that answers no open request; empty if it is only late."""
        if message.problem:
            return message.problem
        if self.run is None or not self.native or message.parent_id == self._last_msg_id:
            return ""
        expected = f"fleet_{self.run.job.operation.asks}_reply"
        return "it names another request" if message.msg_type == expected else ""

    def _mark_malformed(self, problem: str) -> None:
        """The kernel has broken the protocol: what runs ends with an error that says so."""
        if self.run is not None:
            self.run.mark_malformed(problem)
            self.finish_if_complete()

    def _clear_behind(self, *, failed: bool) -> None:
        """Tell the queue that a request has ended; fail the jobs that its error has cleared."""
        for job in self.queue.finish(failed=failed):
            job.fail(
                "QueueCleared", f"cleared by an error of an earlier command on engine {self.id}"
            )

    def finish_if_complete(self) -> None:
        """End the request in flight if its messages are complete, and start the next one."""
        run = self.run
        if run is None or not run.complete or self._is_leaving(run):
            return
        self.run, self._last_msg_id = None, run.msg_id
        if self._lag is not None:  # its timer would keep the output in memory for seconds
            self._lag.cancel()
            self._lag = None
        if run.aborted and run.job.is_worth_another_try():
            # The kernel did not run it: another frontend's failing cell cleared the kernel's own
            # queue, or the kernel no longer has the client's list of importable modules. Send it
            # again, with that list.
            self._told_imports.clear()
            self.queue.put_front(run.job)
            self.start_next()
            return
        outcome = run.outcome()
        if run.job.operation.name == "execute":
            self.executed += 1
        self._clear_behind(failed=not outcome.result["ok"])
        self._on_finished(self, run, outcome)
        run.job.resolve(outcome.result, outcome.buffers, outcome.outputs)
        self.start_next()

    def _is_leaving(self, run: InFlight) -> bool:
        """Whether the cell asked to exit: then the engine's death ends the job, not its reply."""
        if not run.exiting or run.stayed:
            return False

        def stay() -> None:
            run.stayed = True
            if self.run is run:
                self.finish_if_complete()

        if run.stayed is None:
            run.stayed = False
            asyncio.get_running_loop().call_later(EXIT_SECONDS, stay)
        return True

    def _expect_the_rest(self, run: InFlight) -> None:
        """Wait for announced output only for some seconds, in case it was lost."""

        def give_up() -> None:
            if self.run is run and isinstance(run, NativeInFlight):
                self._log.warning("engine %d: output of a command was lost", self.id)
                run.gave_up = True
                self.finish_if_complete()

        if isinstance(run, NativeInFlight):
            self._lag = asyncio.get_running_loop().call_later(IOPUB_LAG_SECONDS, give_up)

    # -- beside the queue -----------------------------------------------------------------------

    def ask(self, channel: str, msg_type: str, content: JsonDict) -> asyncio.Future[KernelMessage]:
        """Send a request beside the queue; the future gets its reply, or ConnectionError."""
        if self.incarnation is None or self.channels is None:
            return failed(ConnectionError(f"engine {self.id}: {self.death or 'not running'}"))
        msg_id, frames = encode(self.session, msg_type, content, own=self.native)
        future = self.awaited.expect(msg_id)
        self._send(channel, frames)
        return future

    def _send(self, channel: str, frames: Sequence[Any]) -> None:
        assert self.incarnation is not None
        assert self.channels is not None
        if self.packets is None or not self.packets.send(channel, frames):
            self.channels.send(channel, self.incarnation.identity, frames)

    def tell(self, channel: str, msg_type: str, content: JsonDict) -> None:
        """Send a message whose answer nobody waits for."""
        if self.incarnation is not None and self.channels is not None:
            _, frames = encode(self.session, msg_type, content, own=self.native)
            self._send(channel, frames)


_MESSAGE_HANDLERS: dict[tuple[str, str], Callable[[Engine, KernelMessage], None]] = {
    ("shell", ANY_TYPE): Engine._take_shell,
    ("control", ANY_TYPE): Engine._take_beside,
    ("stdin", ANY_TYPE): Engine._take_beside,
    ("stdin", "input_request"): Engine._take_input_request,
    ("iopub", ANY_TYPE): Engine._take_iopub,
    ("iopub", "iopub_welcome"): Engine._take_iopub_welcome,
}
