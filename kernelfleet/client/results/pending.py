"""PendingResult: a result on its way, and a future in every dialect.

The seeds' (``get_result``, ``r``), concurrent.futures' (it is a ``Future`` there, so that ``wait``,
``as_completed`` and ``asyncio.wrap_future`` take it) and asyncio's (``await``). The connection
settles it with the raw reply; that is decoded once, in the thread that first asks for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from contextlib import suppress
from types import TracebackType
from typing import Any

from kernelfleet.client.controller_proxy import ControllerProxy
from kernelfleet.client.mapping.nested import refuse_to_wait_for_itself
from kernelfleet.client.results.decode import Reader, tells_failure
from kernelfleet.client.results.replies import (
    Part,
    Reply,
    printed,
    so_far,
)
from kernelfleet.errors.composite import CompositeError
from kernelfleet.errors.tree import CallTimeout, InvalidDeferredID
from kernelfleet.session import ctrl_c
from kernelfleet.session import future as interruptible
from kernelfleet.wire.messages import JsonDict

#: How long to ask what has arrived when a timeout expires.
PROGRESS_SECONDS = 0.3
#: How long a cancelled call's engines get to come back.
SETTLE_SECONDS = 1.5


class _CallFailed(Exception):
    """Stands in the base class for "the reply tells of failures", which nobody has decoded yet."""


class PendingResult(interruptible.Future[Any]):
    """The result of a non-blocking call.

    It keeps the targets it was started with. Fetching is repeatable: the same value, or the same
    error raised again, each time. Use it from any thread.
    """

    def __init__(
        self,
        connection: ControllerProxy,
        reader: Reader,
        *,
        result_id: str | None,
        method: str,
        targets: list[int],
        decode: JsonDict | None,
    ) -> None:
        super().__init__()
        self._connection, self._reader = connection, reader
        self._result_id, self._method, self._targets = result_id, method, targets
        self._decode = decode
        self._lock = threading.RLock()
        self._callbacks: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._outcome: tuple[Any, BaseException | None] | None = None
        self._traceback: TracebackType | None = None
        self._flushed = False
        #: What the controller has answered; None before that, and where it never will.
        self._reply: Reply | None = None
        #: Whether an engine is known to have begun.
        self._begun = False

    def set_result(self, result: Any) -> None:
        """Take the ``Reply`` to the call; for the ``ControllerProxy``, on its thread."""
        reply: Reply = result
        self._reply = reply
        if tells_failure(reply):
            super().set_exception(_CallFailed())
        else:
            super().set_result(None)

    # -- identity -------------------------------------------------------------------------------

    @property
    def result_id(self) -> str | None:
        """With it ``mec.pending_result(result_id)`` finds the result, also from a new client.

        None for a map: its work ends with its client, so nobody else could ask for it.
        """
        return self._result_id

    @property
    def method(self) -> str:
        """The verb."""
        return self._method

    @property
    def targets(self) -> list[int]:
        """The engines it was started on."""
        return list(self._targets)

    def __repr__(self) -> str:
        state = "done" if self.done() else "pending"
        where = ",".join(map(str, self._targets[:8])) + (",..." if len(self._targets) > 8 else "")
        found_by = f", result id {self.result_id}" if self.result_id else ""
        return f"<PendingResult {self._method} on engines [{where}]: {state}{found_by}>"

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None and self._result_id is not None:
            connection.release(self._result_id)

    # -- fetching -------------------------------------------------------------------------------

    def get_result(
        self, default: Any = None, block: bool = True, timeout: float | None = None
    ) -> Any:
        """The value, or ``default`` if it is not there yet and ``block`` is False.

        Args:
            default: What a non-blocking look gives while there is no result.
            block: Wait for it.
            timeout: Seconds to wait; None means no limit, and 0 or less just looks.

        Raises:
            CompositeError: the call failed on one or more engines.
            CallTimeout: ``timeout`` expired; the work goes on.
            InvalidDeferredID: ``flush`` has forgotten it.
        """
        if not block:
            self._check_flushed()
            return self._fetch() if self.done() else default
        return self.result(timeout)

    @property
    def r(self) -> Any:
        """Shorthand for ``get_result(block=True)``."""
        return self.result()

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the value. See ``get_result``."""
        self._await_reply(timeout)
        return self._fetch()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait, and give the error instead of raising it; None if there is none."""
        self._await_reply(timeout)
        try:
            self._fetch()
        except BaseException as error:  # noqa: BLE001 (handed back, as in concurrent.futures)
            return error
        return None

    def wait(self, timeout: float | None = None, *, progress: bool = False) -> bool:
        """Wait until it is done, good or bad; False if ``timeout`` seconds were not enough.

        With ``progress`` a bar shows meanwhile how far it is.
        """
        if progress:
            from kernelfleet.client.results.progress import watch

            watch(self, timeout)
            return self.done()
        # Not an event and a callback per wait: they would pile up where it is polled.
        with ctrl_c.kept():
            return self._settled(timeout)

    def _watched(
        self, watch: Callable[[PendingResult, float | None], None], timeout: float | None
    ) -> Any:
        """Like ``result``; the waiting is done by ``watch(self, timeout)``, which may show it."""
        self._check_flushed()
        self._refuse_what_never_ends()
        with ctrl_c.kept():
            watch(self, timeout)
        if not self.done():
            raise CallTimeout(self._timeout_text(timeout), pending_result=self)
        return self._fetch()

    def _check_flushed(self) -> None:
        if self._flushed and self._outcome is None:
            raise InvalidDeferredID(f"result {self._result_id} was flushed")

    def _await_reply(self, timeout: float | None) -> None:
        self._check_flushed()
        if not self._settled(timeout):
            raise CallTimeout(self._timeout_text(timeout), pending_result=self)

    def _settled(self, timeout: float | None) -> bool:
        """Wait for the reply, or for word that there will be none; False if it did not come."""
        if not self.done():
            self._connection.check_process()
            if timeout is None or timeout > 0:  # else it is a look
                self._refuse_what_never_ends()
        with suppress(TimeoutError):
            super().exception(timeout)
        return self.done()

    def _refuse_what_never_ends(self) -> None:
        refuse_to_wait_for_itself(self._connection, self._targets, self._method)

    def _fetch(self) -> Any:
        with self._lock:
            value, e = self._decoded()
            while self._callbacks and e is None:
                function, args, kwargs = self._callbacks.pop(0)
                try:
                    value = function(value, *args, **kwargs)
                except BaseException as raised:  # noqa: BLE001 (raised below, again each time)
                    e, self._traceback = raised, raised.__traceback__
                self._outcome = value, e
        if e is not None:
            # Raised again each time, so without the frames of the last time. It is called `e`
            # because this is where %debug lands.
            raise e.with_traceback(self._traceback)
        return value

    def _decoded(self) -> tuple[Any, BaseException | None]:
        """The value or the error as it came, or as callbacks have left it; runs none."""
        with self._lock:
            if self._outcome is None:
                self._outcome = self._decode_reply()
            return self._outcome

    def _decode_reply(self) -> tuple[Any, BaseException | None]:
        try:
            reply = self._reply
            if reply is None:
                return None, super().exception(0)
            decode = self._decode or reply.header.get("describe", {}).get("decode") or {}
            return self._reader.read(reply, decode), None
        except BaseException as error:  # noqa: BLE001 (kept, and raised at each fetch)
            return None, error

    def _timeout_text(self, timeout: float | None) -> str:
        from kernelfleet.client.results.progress import expired

        return expired(self._method, timeout, self._ask_progress())

    # -- state ----------------------------------------------------------------------------------

    def running(self) -> bool:
        """Whether an engine has begun with it, and it has not ended.

        What still waits in queues is neither running nor done. The controller is asked.
        """
        if not self.done() and not self._begun:
            self._begun = self._has_begun()
        return self._begun and not self.done()

    def _has_begun(self) -> bool:
        progress = self._ask_progress()
        return progress is not None and bool(progress["begun"])

    def failed(self) -> bool:
        """Whether it has ended with an error; decodes nothing."""
        return self.done() and super().exception(0) is not None

    def cancelled(self) -> bool:
        """Whether it was cancelled: on at least one engine it was dropped before it started."""
        if not self.done():
            return False
        _, error = self._decoded()
        if isinstance(error, CompositeError):
            return any(isinstance(each, CancelledError) for each in error.exceptions)
        return isinstance(error, CancelledError)

    def cancel(self, interrupt: bool = False) -> bool:
        """Drop what still waits in queues; with ``interrupt`` also interrupt what runs.

        Returns:
            Whether anything was dropped or interrupted.
        """
        if self.done():
            return False
        return any(self._stop_work(interrupt=interrupt))

    @property
    def progress(self) -> tuple[int, int]:
        """How many engines are done, and how many there are."""
        total = len(self._targets)
        if self.done():
            return total, total
        value = self._ask_progress()
        return (total, total) if value is None else (value["done"], value["total"])

    @property
    def stdout(self) -> dict[int, str]:
        """What each engine has printed for this call so far; also what it has cleared since."""
        return self._printed("stdout")

    @property
    def stderr(self) -> dict[int, str]:
        """What each engine has written to stderr for this call so far: warnings, logging."""
        return self._printed("stderr")

    def _printed(self, stream: str) -> dict[int, str]:
        reply = None if self.done() else self._reply_about(str(self._result_id), brief=False)
        if reply is None or reply.header["value"] is None:
            return printed(self._parts(), stream)
        return printed(so_far(reply), stream)

    def _parts(self) -> list[Part]:
        """Each target's part of the reply; empty before it is there, or if it never comes."""
        return [] if self._reply is None else self._reply.parts()

    @property
    def outputs(self) -> list[tuple[int, list[JsonDict]]]:
        """Engine id and Jupyter outputs of each target, failed ones too; empty until it ends."""
        return [(part.result["id"], part.outputs.outputs()) for part in self._parts()]

    def _ask_progress(self) -> JsonDict | None:
        """How far it is: ``done``, ``total``, ``left``, ``begun``; None where nobody can say."""
        return self._ask_about(str(self._result_id))

    def _ask_about(self, result_id: str) -> JsonDict | None:
        reply = self._reply_about(result_id, brief=True)
        value: JsonDict | None = None if reply is None else reply.header["value"]
        return value

    def _reply_about(self, result_id: str, *, brief: bool) -> Reply | None:
        asked = {"result_id": result_id, "brief": brief}
        with suppress(TimeoutError, ConnectionError):
            return self._connection.call("progress", PROGRESS_SECONDS, **asked)
        return None

    # -- callbacks and asyncio ------------------------------------------------------------------

    def add_callback(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Make the result ``function(result, *args, **kwargs)``.

        Callbacks are chained, run once, in the thread that fetches, and skipped on an error.
        """
        with self._lock:
            self._callbacks.append((function, args, kwargs))

    def add_done_callback(self, fn: Callable[[PendingResult], object]) -> None:
        """Call ``fn(self)`` when it has ended, at once if it has.

        It runs on kernelfleet's own thread: it must be short, and must not make blocking calls.
        """
        super().add_done_callback(fn)  # type: ignore[arg-type]  # it is called with self

    def _when_done(self, function: Callable[[], object]) -> None:
        """Call ``function()`` when it has ended; see ``add_done_callback``."""
        self.add_done_callback(lambda _: function())

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.wrap_future(self._shield()).__await__()
        return self._fetch()

    def _shield(self) -> interruptible.Future[None]:
        """A future of its own for one ``await``, so that cancelling the task cancels only that."""
        done: interruptible.Future[None] = interruptible.Future()

        def settle() -> None:
            if done.set_running_or_notify_cancel():
                done.set_result(None)

        self._when_done(settle)
        return done

    def _repr_html_(self) -> str:
        from kernelfleet.display import html

        state = "failed" if self.failed() else "done" if self.done() else "running"
        return html.pending(self, state, None if self.done() else self.progress)

    def flush(self) -> None:
        """Forget the result if it has not been fetched; the work goes on."""
        self._flushed = True

    def _settle_after_interrupt(self) -> list[int]:
        """Interrupt the engines that work for this call; returns the ids they were sent to.

        For a Ctrl-C in a blocking call: bounded, and it never raises for what it cannot reach.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        interrupted: list[int] = []
        try:
            _, interrupted = self._stop_work(interrupt=True)
            self.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, ConnectionError, KeyboardInterrupt):
            return interrupted  # a second Ctrl-C wants control back now
        return interrupted

    def _stop_work(self, *, interrupt: bool) -> tuple[list[int], list[int]]:
        """Drop what waits and interrupt what runs; on which engines."""
        reply = self._connection.call(
            "cancel", SETTLE_SECONDS, result_id=self._result_id, interrupt=interrupt
        )
        value = reply.header["value"]
        return value["dropped"], value["interrupted"]
