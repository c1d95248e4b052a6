"""TaskLoop: the loop of an executor's thread, and how it ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from typing import TYPE_CHECKING

from kernelfleet.client.executor.tasks import TaskPlace, Tasks
from kernelfleet.client.frontend import running_shell
from kernelfleet.client.mapping.batches import Item, Outcome
from kernelfleet.client.mapping.dispatch import Dispatcher
from kernelfleet.client.mapping.options import Call
from kernelfleet.errors.composite import Failure
from kernelfleet.session import ctrl_c
from kernelfleet.wire.objects.serialize import EngineFunction

if TYPE_CHECKING:
    from kernelfleet.client.controller_proxy import ControllerProxy

_CALL = Call(
    EngineFunction("kernelfleet.engine.running.batches", "call_task"),
    label="task", verb="task", stop_on_error=False,
)  # fmt: skip
#: How long interrupted tasks may take to end when the program does, in seconds.
SETTLE_SECONDS = 1.5


class TaskLoop:
    """The dispatch loop of an executor, which its thread runs.

    It is separate from FleetExecutor so that the thread does not keep an executor alive to which
    nobody refers any more.
    """

    def __init__(
        self, connection: ControllerProxy, engines: Callable[[], Sequence[int]], tasks: Tasks
    ) -> None:
        self._connection, self._tasks = connection, tasks
        self._abandoned = self._cancelling = False
        self._cancelled = threading.Event()
        self.dispatcher = Dispatcher(connection, engines, tasks, self._settle, _CALL)

    def run(self) -> None:
        """Hand tasks out until there will be no more."""
        try:
            while not self._finished():
                if self._abandoned:
                    self._drop_all()
                self.dispatcher.fill()
                if self._cancelling:
                    self._cancel_what_waits()
                if not self._finished():
                    self.dispatcher.step()
        except BaseException as error:  # noqa: BLE001 (whoever waits must not hang)
            self._break(error)
        finally:
            self.dispatcher.close()
            for future in list(self._tasks.futures.values()):
                future.drop()  # dropped on the way: those behind a task that was interrupted
            self._tasks.futures.clear()
            self._cancelled.set()
            atexit.unregister(self.end_with_the_program)

    def _finished(self) -> bool:
        if not self._connection.is_open:
            self._tasks.close(BrokenExecutor("the client was closed, or has lost its fleet"))
        return self._tasks.closed and not self.dispatcher.busy and not self._tasks.remaining

    def close(self, *, cancel: bool = False) -> None:
        """Take no more tasks, and end the thread when those there are have ended."""
        self._tasks.close(RuntimeError("cannot schedule new futures after shutdown"))
        if not cancel:
            self.dispatcher.wake()
        elif threading.current_thread() is self._thread:
            self._cancel_what_waits()
        elif self._thread.is_alive():
            self._cancelling = True
            self.dispatcher.wake()
            self._cancelled.wait(SETTLE_SECONDS)

    def _cancel_what_waits(self) -> None:
        """Drop what no engine has begun; on the thread, when engines that are free have work."""
        self._cancelling = False
        self._want_nothing()
        self.dispatcher.take_back_what_waits()
        self._cancelled.set()

    def _drop_all(self) -> None:
        """Drop what no engine has begun, and interrupt the rest; on the thread."""
        self._want_nothing()
        self.dispatcher.cancel_all(interrupt=True)

    def _want_nothing(self) -> None:
        """Cancel what waits here, and send nothing again that comes back."""
        self._tasks.cancel_what_waits()
        with self.dispatcher.sending:
            for future in list(self._tasks.futures.values()):
                if (place := future._place) is not None:
                    place.item.unwanted = True

    def place(self, item: Item) -> TaskPlace:
        """What knows where a task is."""
        return TaskPlace(item, self._tasks.futures, self.dispatcher, self._connection)

    def start(self) -> None:
        """Work on a thread of its own, which the end of the program waits for."""
        self._process = os.getpid()
        self._thread = threading.Thread(target=self.run, name="kernelfleet-executor", daemon=True)
        # After the fleet's own, so before it: what is registered last is called first.
        atexit.register(self.end_with_the_program)
        self._thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all there was to do is done."""
        if self._thread.is_alive():
            for seconds in ctrl_c.pieces(timeout):
                self._thread.join(seconds)
                if not self._thread.is_alive():
                    return

    def end_with_the_program(self) -> None:
        """Do what was submitted before the program ends, as the standard library's pools do.

        Ctrl-C ends the tasks instead, then or if it has ended the program. Tasks that ``abort``
        has interrupted already, and that do not heed it, are not waited for.
        """
        try:
            if os.getpid() != self._process:
                return  # a forked child, where the thread is not
            self.close()
            if not _ended_by_ctrl_c():
                self.wait(SETTLE_SECONDS if self._abandoned else None)
                return
        except KeyboardInterrupt:
            pass
        with contextlib.suppress(KeyboardInterrupt):  # a second one: now
            self._abandon()

    def _abandon(self) -> None:
        """Drop what waits, interrupt what runs, and say so."""
        count = len(self._tasks.futures)
        if count:
            text = f"kernelfleet: interrupted, so {count} tasks of an executor are not done\n"
            with contextlib.suppress(Exception):  # None, or closed: the program ends
                sys.stderr.write(text)
        self.abort()
        self.wait(SETTLE_SECONDS)

    def abort(self) -> None:
        """Drop what waits and interrupt what runs, without waiting for it."""
        self._abandoned = True
        self._tasks.close(RuntimeError("cannot schedule new futures after shutdown"))
        self.dispatcher.wake()

    def _settle(self, outcome: Outcome) -> None:
        item, error = outcome.item, outcome.error
        future = self._tasks.futures.pop(item.key, None)
        if future is None:
            return  # it was cancelled
        if item.unwanted and isinstance(error, CancelledError):
            future.drop()
            return
        future._place = None
        future.engine_id = outcome.engine
        future.stdout, future.stderr = outcome.stdout, outcome.stderr
        future.outputs = outcome.outputs
        if error is None:
            future.set_result(outcome.value)
            return
        failure = Failure(outcome.engine, error, list(outcome.traceback), "task")
        failure.note_traceback(failure.tag)
        future.set_exception(error)

    def _break(self, error: BaseException) -> None:
        self._tasks.close(BrokenExecutor(f"the executor has failed: {error!r}"))
        self._tasks.cancel_what_waits()
        for future in list(self._tasks.futures.values()):
            future._place = None
            if not future.done():
                future.set_exception(error)


def _ended_by_ctrl_c() -> bool:
    """Whether a KeyboardInterrupt that nobody caught is why the program ends."""
    if running_shell() is not None:
        return False  # there it is how a cell has ended, and long ago
    kind = getattr(sys, "last_type", None)
    return isinstance(kind, type) and issubclass(kind, KeyboardInterrupt)
