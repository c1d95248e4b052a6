"""PendingResult: the result of a call that may still be running.

It can be used in three ways: as IPython1's pending results (``get_result``, ``r``), as a
``concurrent.futures.Future``, which it is (``wait``, ``as_completed`` and ``asyncio.wrap_future``
take it), and with ``await``. The ``ControllerProxy`` gives it the controller's reply as it came;
the reply is decoded once, in the thread that first asks for the value.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

from kernelfleet.client.controller_proxy import ControllerProxy
from kernelfleet.client.results.call import SETTLE_SECONDS, CallFuture
from kernelfleet.client.results.decode import Reader
from kernelfleet.client.results.own_engine import refuse_to_wait_for_itself
from kernelfleet.client.targets import time_left
from kernelfleet.errors.composite import CompositeError
from kernelfleet.errors.tree import CallTimeout, InvalidDeferredID
from kernelfleet.session import ctrl_c
from kernelfleet.session import future as interruptible
from kernelfleet.wire.messages import JsonDict

T = TypeVar("T")
D = TypeVar("D")


class PendingResult(CallFuture[T]):
    """The result of a call with ``block=False``: a future that knows its engines.

    It keeps the targets it was started with. Fetching is repeatable: the same value, or the same
    error raised again, each time. It may be used from any thread.

    Example:
        >>> pending = mec.execute("6 * 7", targets=[0, 1], block=False)
        >>> [result.value for result in pending.result(timeout=10)]
        [42, 42]
        >>> pending
        <PendingResult execute on engines [0,1]: done, result id ...>
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
        super().__init__(connection, result_id=result_id, method=method, targets=targets)
        self._reader, self._decode = reader, decode
        self._lock = threading.RLock()
        self._callbacks: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._outcome: tuple[Any, BaseException | None] | None = None
        self._traceback: TracebackType | None = None
        self._flushed = False

    # -- fetching -------------------------------------------------------------------------------

    @overload
    def get_result(
        self, default: object = ..., block: Literal[True] = ..., timeout: float | None = ...
    ) -> T: ...
    @overload
    def get_result(self, default: D, block: bool, timeout: float | None = ...) -> T | D: ...
    @overload
    def get_result(
        self, default: None = ..., *, block: bool, timeout: float | None = ...
    ) -> T | None: ...
    @overload
    def get_result(self, default: D, *, block: bool, timeout: float | None = ...) -> T | D: ...
    def get_result(
        self, default: Any = None, block: bool = True, timeout: float | None = None
    ) -> Any:
        """The value, or ``default`` if it is not there yet and ``block`` is False.

        Args:
            default: What is returned with ``block=False`` while there is no result.
            block: Wait for the value.
            timeout: Seconds to wait; None means no limit, and 0 or less just looks.

        Returns:
            What the same call returns with ``block=True``, or ``default``.

        Raises:
            CompositeError: the call failed on one or more engines.
            CallTimeout: ``timeout`` expired; the work goes on.
            InvalidDeferredID: ``flush`` has forgotten it.
            ControllerUnreachable: the controller is gone or does not answer.

        Example:
            >>> pending = mec.execute("while True: pass", targets=0, block=False)
            >>> pending.get_result("not yet", block=False)
            'not yet'
            >>> pending.cancel(interrupt=True)
            True
        """
        if not block:
            self._check_flushed()
            return self._fetch() if self.done() else default
        return self.result(timeout)

    @property
    def r(self) -> T:
        """Shorthand for ``get_result(block=True)``."""
        return self.result()

    def result(self, timeout: float | None = None) -> T:
        """Wait for the value.

        Args:
            timeout: Seconds to wait; None means no limit, and 0 or less just looks.

        Returns:
            What the same call returns with ``block=True``.

        Raises:
            CompositeError: the call failed on one or more engines.
            CallTimeout: ``timeout`` expired; the work goes on.
            InvalidDeferredID: ``flush`` has forgotten it.
            ControllerUnreachable: the controller is gone or does not answer.

        Example:
            >>> mec.pull("engine_id", block=False).result(timeout=10)
            [0, 1, 2, 3]
        """
        self._await_reply(timeout)
        return self._fetch()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait, and return the error instead of raising it; None if there is none.

        Args:
            timeout: Seconds to wait; None means no limit, and 0 or less just looks.

        Returns:
            What ``result`` would raise.

        Raises:
            CallTimeout: ``timeout`` expired; the work goes on.
            InvalidDeferredID: ``flush`` has forgotten it.

        Example:
            >>> error = mec.execute("1 / 0", targets=[0, 1], block=False).exception(timeout=10)
            >>> [type(each).__name__ for each in error.exceptions]
            ['ZeroDivisionError', 'ZeroDivisionError']
        """
        self._await_reply(timeout)
        try:
            self._fetch()
        except BaseException as error:  # noqa: BLE001 (handed back, as in concurrent.futures)
            return error
        return None

    def wait(self, timeout: float | None = None, *, progress: bool = False) -> bool:
        """Wait until it is done, good or bad. Its error is not raised.

        Args:
            timeout: Seconds to wait; None means no limit, and 0 or less just looks.
            progress: Show a bar meanwhile, if it takes long and somebody watches.

        Returns:
            Whether it is done.

        Example:
            >>> mec.execute("1 / 0", block=False).wait(timeout=10)
            True
        """
        if progress:
            from kernelfleet.client.results.progress import watch

            watch(self, time_left(timeout))
            return self.done()
        # The lock of the Future is waited on, and no event with a callback is made for each wait:
        # such events would pile up where a program polls.
        with ctrl_c.kept():
            return self._settled(timeout)

    def _watched(
        self, watch: Callable[[PendingResult[Any], float | None], None], timeout: float | None
    ) -> T:
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
        timeout = time_left(timeout)
        if not self.done():
            self._connection.check_process()
            if timeout != 0:  # else it is a look
                self._refuse_what_never_ends()
        with suppress(TimeoutError):
            super().exception(timeout)
        return self.done()

    def _refuse_what_never_ends(self) -> None:
        refuse_to_wait_for_itself(self._connection, self._targets, self._method)

    def _fetch(self) -> T:
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
        fetched: T = value
        return fetched

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

    def cancelled(self) -> bool:
        """Whether it was cancelled: on at least one engine it was dropped before it started."""
        if not self.done():
            return False
        _, error = self._decoded()
        if isinstance(error, CompositeError):
            return any(isinstance(each, CancelledError) for each in error.exceptions)
        return isinstance(error, CancelledError)

    # -- callbacks and asyncio ------------------------------------------------------------------

    def add_callback(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Make the result ``function(result, *args, **kwargs)``.

        Callbacks are chained, run once, in the thread that fetches, and skipped on an error. What
        a type checker knows of the result is then no longer true.

        Args:
            function: Gets the result as it is so far, and returns what it shall be.
            args: Further positional arguments.
            kwargs: Keyword arguments.

        Raises:
            TypeError: ``function`` is not callable.

        Example:
            >>> pending = mec.pull("engine_id", block=False)
            >>> pending.add_callback(sum)
            >>> pending.r
            6
        """
        check_callback(function)
        with self._lock:
            self._callbacks.append((function, args, kwargs))

    def add_done_callback(self, fn: Callable[[PendingResult[T]], object]) -> None:
        """Call ``fn(self)`` when it has ended, at once if it has.

        It runs on kernelfleet's own thread: it must be short, and must not make blocking calls.

        Args:
            fn: Gets this PendingResult.

        Raises:
            TypeError: ``fn`` is not callable.

        Example:
            >>> import queue
            >>> ended = queue.SimpleQueue()
            >>> pending = mec.execute("a = 5", block=False)
            >>> pending.add_done_callback(ended.put)
            >>> ended.get(timeout=10) is pending
            True
        """
        check_callback(fn)
        super().add_done_callback(fn)  # type: ignore[arg-type]  # it is called with self

    def _when_done(self, function: Callable[[], object]) -> None:
        """Call ``function()`` when it has ended; see ``add_done_callback``."""
        self.add_done_callback(lambda _: function())

    def __await__(self) -> Generator[Any, None, T]:
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
        """Forget the result if it has not been fetched; the work goes on.

        Fetching it then raises ``InvalidDeferredID``.
        """
        self._flushed = True

    def _settle_after_interrupt(self) -> list[int]:
        """Interrupt the engines working on this call. Returns the ids of the engines interrupted.

        For a Ctrl-C in a blocking call: it takes a bounded time, and raises nothing where the
        controller cannot be reached.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        interrupted: list[int] = []
        try:
            _, interrupted = self._stop_work(interrupt=True)
            self.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, ConnectionError, KeyboardInterrupt):
            return interrupted  # a second Ctrl-C wants control back now
        return interrupted


def check_callback(function: object) -> None:
    """Refuse what cannot be called: found out on a thread of ours, it would be heard by nobody."""
    if not callable(function):
        raise TypeError(f"a callback is a function, not {type(function).__name__}")
