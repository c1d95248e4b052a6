"""PendingResult: a result on its way, and a future in every dialect.

The seeds' (``get_result``, ``r``), concurrent.futures' (``result``, ``done``, ``cancel``,
``add_done_callback``) and asyncio's (``await``): one implementation, on one
``concurrent.futures.Future`` of the raw reply. The reply is decoded once, in the thread that
first asks for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any

from kernelfleet.client import ctrl_c
from kernelfleet.client import future as interruptible
from kernelfleet.client.connection import Connection, Reply
from kernelfleet.client.decode import Reader
from kernelfleet.error_text import format_ids
from kernelfleet.errors import CallTimeout, CompositeError, InvalidDeferredID

JsonDict = dict[str, Any]

#: How long to ask what has arrived when a timeout expires.
PROGRESS_SECONDS = 0.3
#: How long a cancelled call's engines get to come back.
SETTLE_SECONDS = 1.5


class PendingResult:
    """The result of a non-blocking call.

    It keeps the targets it was started with. Fetching is repeatable: the same value, or the same
    error raised again, each time. Use it from any thread.
    """

    def __init__(
        self,
        connection: Connection,
        reader: Reader,
        future: Future[Reply],
        *,
        result_id: str,
        method: str,
        targets: list[int],
        decode: JsonDict | None,
    ) -> None:
        self._connection, self._reader, self._future = connection, reader, future
        self._result_id, self._method, self._targets = result_id, method, targets
        self._decode = decode
        self._lock = threading.RLock()
        self._callbacks: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._outcome: tuple[Any, BaseException | None] | None = None
        self._traceback: TracebackType | None = None
        self._flushed = False

    # -- identity -------------------------------------------------------------------------------

    @property
    def result_id(self) -> str:
        """With it ``mec.pending_result(result_id)`` finds the result, also from a new client."""
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
        return f"<PendingResult {self._method} on engines [{where}]: {state}>"

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.release(self._result_id)

    # -- fetching -------------------------------------------------------------------------------

    def get_result(
        self, default: Any = None, block: bool = True, timeout: float | None = None
    ) -> Any:
        """The value, or ``default`` if it is not there yet and ``block`` is False.

        Args:
            default: What a non-blocking look gives while there is no result.
            block: Wait for it.
            timeout: Seconds to wait; None means no limit.

        Raises:
            CompositeError: the call failed on one or more engines.
            CallTimeout: ``timeout`` expired; the work goes on.
            InvalidDeferredID: ``flush`` has forgotten it.
        """
        if not block:
            self._check_flushed()
            return self._fetch() if self._future.done() else default
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
            from kernelfleet.client.progress import watch

            watch(self, timeout)
            return self.done()
        if not self._future.done():
            self._connection.check_process()
        # Not an event and a callback per wait: they would pile up where it is polled.
        try:
            with ctrl_c.kept():
                self._future.exception(timeout)
        except CancelledError:
            return True
        except TimeoutError:
            return self._future.done()
        return True

    def watched(
        self, watch: Callable[[PendingResult, float | None], None], timeout: float | None
    ) -> Any:
        """Like ``result``; the waiting is done by ``watch(self, timeout)``, which may show it."""
        self._check_flushed()
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
        if not self._future.done():
            self._connection.check_process()
        try:
            self._future.exception(timeout)
        except CancelledError:
            return
        except TimeoutError:
            raise CallTimeout(self._timeout_text(timeout), pending_result=self) from None

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
            reply = self._future.result()
            decode = self._decode or reply.head.get("describe", {}).get("decode") or {}
            return self._reader.read(reply, decode), None
        except BaseException as error:  # noqa: BLE001 (kept, and raised at each fetch)
            return None, error

    def _timeout_text(self, timeout: float | None) -> str:
        progress = self.ask_progress()
        text = f"{self._method} has not ended after {timeout:g} s"
        if progress is None:
            return text + "; the work goes on"
        unit, left = progress.get("unit", "engines"), progress.get("left")
        names = f" (on {format_ids(left)})" if left and progress["done"] else ""
        return (
            f"{text}: {progress['done']} of {progress['total']} {unit} are done; "
            f"the work goes on{names}, see .pending_result"
        )

    # -- state ----------------------------------------------------------------------------------

    def done(self) -> bool:
        """Whether it has ended, good or bad; never blocks."""
        return self._future.done()

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._future.done()

    def failed(self) -> bool:
        """Whether it has ended with an error; never blocks, and decodes nothing."""
        if not self._future.done():
            return False
        if self._future.cancelled() or self._future.exception() is not None:
            return True
        head = self._future.result().head
        return "refused" in head or not all(each["ok"] for each in head.get("results", ()))

    def cancelled(self) -> bool:
        """Whether it was cancelled: on at least one engine it was dropped before it started."""
        if not self._future.done():
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
        if self._future.done():
            return False
        return any(self._stop_work(interrupt=interrupt))

    @property
    def progress(self) -> tuple[int, int]:
        """How many engines are done, and how many there are."""
        total = len(self._targets)
        if self._future.done():
            return total, total
        value = self.ask_progress()
        return (total, total) if value is None else (value["done"], value["total"])

    @property
    def stdout(self) -> dict[int, str]:
        """What each engine has printed for this call so far."""
        value = None if self._future.done() else self._ask_progress()
        if value is not None:
            return {int(engine_id): text for engine_id, text in value["stdout"].items()}
        results = self._future.result().head.get("results", [])
        return {
            result["id"]: "".join(
                o["text"] for o in result.get("outputs", []) if o.get("name") == "stdout"
            )
            for result in results
        }

    @property
    def outputs(self) -> list[tuple[int, list[JsonDict]]]:
        """Engine id and Jupyter outputs of each target, failed ones too; empty until it ends."""
        if not self._future.done() or self._future.cancelled() or self._future.exception():
            return []
        results = self._future.result().head.get("results", ())
        return [(result["id"], result.get("outputs", [])) for result in results]

    def ask_progress(self) -> JsonDict | None:
        """How far it is: ``done``, ``total``, and which engines are ``left``; None if unknown."""
        return self._ask_progress(brief=True)

    def _ask_progress(self, *, brief: bool = False) -> JsonDict | None:
        asked = {"result_id": self._result_id, "brief": brief}
        try:
            reply = self._connection.call("progress", PROGRESS_SECONDS, **asked)
        except (TimeoutError, ConnectionError):
            return None
        value: JsonDict | None = reply.head["value"]
        return value

    # -- callbacks and asyncio ------------------------------------------------------------------

    def add_callback(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Make the result ``function(result, *args, **kwargs)``.

        Callbacks are chained, run once, in the thread that fetches, and skipped on an error.
        """
        with self._lock:
            self._callbacks.append((function, args, kwargs))

    def add_done_callback(self, function: Callable[[PendingResult], Any]) -> None:
        """Call ``function(self)`` when it has ended, at once if it has.

        It runs on kernelfleet's own thread: it must be short, and must not make blocking calls.
        """
        self._future.add_done_callback(lambda _: function(self))

    def when_done(self, function: Callable[[], object]) -> None:
        """Call ``function()`` when it has ended; see ``add_done_callback``."""
        self._future.add_done_callback(lambda _: function())

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.wrap_future(self._shield()).__await__()
        return self._fetch()

    def _shield(self) -> Future[None]:
        """A future of its own for one ``await``, so that cancelling the task cancels only that."""
        done: Future[None] = interruptible.Future()

        def settle(_: Future[Reply]) -> None:
            if done.set_running_or_notify_cancel():
                done.set_result(None)

        self._future.add_done_callback(settle)
        return done

    def _repr_html_(self) -> str:
        from kernelfleet.client.shell import html

        return str(html().pending(self))

    def flush(self) -> None:
        """Forget the result if it has not been fetched; the work goes on."""
        self._flushed = True

    def settle_after_interrupt(self) -> list[int]:
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
        value = reply.head["value"]
        return value["dropped"], value["interrupted"]
