"""FleetExecutor: the standard library's task interface on a fleet's engines.

``submit``, ``map``, ``shutdown`` and the futures behave as in ``concurrent.futures``, so that
``as_completed`` and ``wait`` of the standard library work on them. One thread per executor hands
the tasks out; they go through the engines' queues beside everything else.
"""

from __future__ import annotations

import inspect
import itertools
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kernelfleet.client.batches import Engines, Item, Outcome
from kernelfleet.client.dispatch import Dispatcher
from kernelfleet.client.future import Future
from kernelfleet.client.targets import check_block, check_timeout
from kernelfleet.composite import Failure
from kernelfleet.errors import EngineError, FleetError, SerializationError
from kernelfleet.wire.serialize import EngineFunction, pack_nested

if TYPE_CHECKING:
    from kernelfleet.client.connection import Connection
    from kernelfleet.client.maps import MapVerbs

T = TypeVar("T")

_CALL_TASK = EngineFunction("kernelfleet.engine.mapping", "call_task")
_OPTIONS = ("retries", "timeout", "require")


class TaskFuture(Future[T]):
    """A ``concurrent.futures.Future`` of a task on the fleet.

    Attributes:
        engine_id: Where it ran; None before it has ended.
        stdout: What the task printed, kept with its result; likewise ``stderr``.
    """

    engine_id: int | None = None
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True)
class TaskOptions:
    """How a task is run; see ``MultiEngineClient.executor``."""

    retries: int | None = None
    timeout: float | None = None
    require: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        retries: object = 0 if self.retries is None else self.retries
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ValueError(f"retries is at least 0, or None, not {self.retries!r}")
        if check_timeout(self.timeout) == 0:
            raise ValueError(f"timeout is more than 0 seconds, or None, not {self.timeout!r}")
        if self.require is not None and not isinstance(self.require, Mapping):
            raise TypeError(f"require is a dict of properties, not {type(self.require).__name__}")

    def updated(self, options: Mapping[str, Any]) -> TaskOptions:
        """The same but for the options that are given."""
        given = {name: value for name, value in options.items() if value is not None}
        return TaskOptions(**{**self.__dict__, **given}) if given else self


class _Tasks:
    """The tasks submitted and not handed out yet, as a source; thread-safe."""

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()
        self._lock = threading.RLock()  # a finalizer may come at any time
        self._keys = itertools.count()
        self._closed: Exception | None = None
        self.futures: dict[int, TaskFuture[Any]] = {}

    @property
    def remaining(self) -> int:
        return len(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether no more tasks are taken."""
        return self._closed is not None

    def put(self, payload: Any, options: TaskOptions, engines: Engines) -> TaskFuture[Any]:
        retries = options.retries
        with self._lock:
            if self._closed is not None:
                raise self._closed.with_traceback(None)
            key, future = next(self._keys), TaskFuture[Any]()
            self.futures[key] = future
            self._waiting.append(
                Item(
                    key,
                    payload,
                    death_retries=1 if retries is None else retries,
                    retries=retries or 0,
                    timeout=options.timeout,
                    engines=engines,
                )
            )
        return future

    def take(self, count: int) -> list[Item]:
        taken: list[Item] = []
        with self._lock:
            while self._waiting and len(taken) < count:
                item = self._waiting.popleft()
                if self.futures[item.key].set_running_or_notify_cancel():
                    taken.append(item)
                else:
                    del self.futures[item.key]
        return taken

    def close(self, error: Exception, *, cancel: bool = False) -> None:
        """Take no more; ``submit`` raises the error from now on."""
        with self._lock:
            self._closed = self._closed or error
            while cancel and self._waiting:
                future = self.futures.pop(self._waiting.popleft().key)
                future.cancel()
                future.set_running_or_notify_cancel()


class _Work:
    """What the executor's thread has in hand; it lives on when the executor is let go of."""

    def __init__(
        self, connection: Connection, engines: Callable[[], Sequence[int]], tasks: _Tasks
    ) -> None:
        self._connection, self._tasks = connection, tasks
        self.dispatcher = Dispatcher(
            connection, engines, tasks, self._settle,
            function=_CALL_TASK, star=False, label="task", verb="task", stop_on_error=False,
        )  # fmt: skip

    def run(self) -> None:
        """Hand tasks out until there will be no more."""
        try:
            while not self._finished():
                self.dispatcher.fill()
                if not self._finished():
                    self.dispatcher.step()
        except BaseException as error:  # noqa: BLE001 (whoever waits must not hang)
            self._break(error)
        finally:
            self.dispatcher.close()

    def _finished(self) -> bool:
        if not self._connection.is_open:
            self._tasks.close(BrokenExecutor("the client was closed, or has lost its fleet"))
        return self._tasks.closed and not self.dispatcher.busy and not self._tasks.remaining

    def close(self, *, cancel: bool = False) -> None:
        """Take no more tasks, and end the thread when those there are have ended."""
        error = RuntimeError("cannot schedule new futures after shutdown")
        self._tasks.close(error, cancel=cancel)
        self.dispatcher.wake()

    def _settle(self, outcome: Outcome) -> None:
        item, error = outcome.item, outcome.error
        final = (EngineError, CancelledError, SerializationError)
        if error is not None and self.dispatcher.lost is None and not isinstance(error, final):
            item.failures += 1
            if item.failures <= item.retries:
                self.dispatcher.try_again(item)
                return
        future = self._tasks.futures.pop(item.key)
        future.engine_id = outcome.engine
        future.stdout, future.stderr = outcome.stdout, outcome.stderr
        if error is None:
            future.set_result(outcome.value)
            return
        failure = Failure(outcome.engine, error, list(outcome.traceback), "task")
        failure.note_traceback(failure.tag)
        future.set_exception(error)

    def _break(self, error: BaseException) -> None:
        self._tasks.close(BrokenExecutor(f"the executor has failed: {error!r}"), cancel=True)
        for future in list(self._tasks.futures.values()):
            if not future.done():
                future.set_exception(error)


class FleetExecutor(Executor):
    """See ``MultiEngineClient.executor``."""

    def __init__(
        self, client: MapVerbs, engines: Callable[[], Sequence[int]], options: TaskOptions
    ) -> None:
        self._client, self._engines, self._options = client, engines, options
        self._tasks = _Tasks()
        self._work = _Work(client._connection, engines, self._tasks)
        self._thread = threading.Thread(
            target=self._work.run, name="kernelfleet-executor", daemon=True
        )
        self._thread.start()
        weakref.finalize(self, self._work.close).atexit = False

    @property
    def _max_workers(self) -> int:
        """How many tasks run at the same time; libraries that take an Executor read this."""
        return max(1, len(self._engines()))

    # -- the interface of concurrent.futures ----------------------------------------------------

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> TaskFuture[T]:
        """Run ``fn(*args, **kwargs)`` on the engine that is free first.

        ``retries=``, ``timeout=`` and ``require=`` are options of the task (see
        ``MultiEngineClient.executor``) where ``fn`` has no such parameter; where it has, or takes
        any keyword, they are its own: then use ``submit_task``.

        Raises:
            SerializationError: the call cannot be pickled.
            FleetError: no engine has the required properties.
            RuntimeError: the executor was shut down.
            BrokenExecutor: there are no engines, or the client was closed.
        """
        options = {name: kwargs.pop(name) for name in _options_among(fn, kwargs)}
        return self.submit_task(fn, args, kwargs, **options)

    def submit_task(
        self,
        function: Callable[..., T],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        retries: int | None = None,
        timeout: float | None = None,
        require: Mapping[str, Any] | None = None,
    ) -> TaskFuture[T]:
        """``submit`` for a function that has parameters named like the options.

        Args:
            function: What to call.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            retries: As for ``MultiEngineClient.executor``; None takes the executor's.
            timeout: Likewise.
            require: Likewise.
        """
        if not callable(function):
            raise TypeError(f"a task is a function, not {type(function).__name__}")
        self._client._connection.check_process()
        given = {"retries": retries, "timeout": timeout, "require": require}
        options = self._options.updated(given)
        payload = pack_nested((function, tuple(args), dict(kwargs or {})), snapshot=True)
        if self._client._connection.is_open and not self._tasks.closed:
            if not self._engines():
                raise BrokenExecutor("the executor has no engines: mec.restart brings dead ones up")
            engines = self._engines_with(options.require) if options.require else None
        else:
            engines = None  # put says why not
        future = self._tasks.put(payload, options, engines)
        self._work.dispatcher.wake()
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        return_exceptions: bool = False,
        **options: Any,
    ) -> Iterator[T]:
        """As ``concurrent.futures.Executor.map``; batches are made by themselves.

        With ``return_exceptions`` a task that fails gives its exception for a value, and the
        others' values still come.
        """
        if check_block(return_exceptions, "return_exceptions"):
            futures = [self.submit(fn, *args, **options) for args in zip(*iterables, strict=False)]
            return _outcomes(futures, timeout)
        return super().map(fn, *iterables, timeout=timeout, chunksize=chunksize, **options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; wait for those submitted, or cancel what has not started."""
        self._work.close(cancel=cancel_futures)
        if wait and self._thread.is_alive():
            self._thread.join()

    def _engines_with(self, require: Mapping[str, Any]) -> frozenset[int]:
        reply = self._client._connection.call(
            "get_properties", targets=list(self._engines()), keys=None
        )
        able = frozenset(
            result["id"]
            for result in reply.head["results"]
            if all(
                key in result["value"] and result["value"][key] == value
                for key, value in require.items()
            )
        )
        if not able:
            raise FleetError(
                f"no engine has the properties {dict(require)!r}: set them with mec.set_properties"
            )
        return able


def _outcomes(futures: list[TaskFuture[Any]], timeout: float | None) -> Iterator[Any]:
    """Each task's value or exception, in order; whoever stops taking them cancels the rest."""
    deadline = None if timeout is None else time.monotonic() + timeout

    def values() -> Iterator[Any]:
        waiting = deque(futures)
        try:
            while waiting:
                left = None if deadline is None else deadline - time.monotonic()
                try:
                    error: BaseException | None = waiting[0].exception(left)
                except CancelledError as cancelled:
                    error = cancelled
                yield error if error is not None else waiting[0].result()
                waiting.popleft()
        finally:
            for each in waiting:
                each.cancel()

    return values()  # the clock has run since the call, as in the standard library


def _options_among(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> list[str]:
    """The keywords that are options of the task: those the function cannot take."""
    names = [name for name in _OPTIONS if name in kwargs]
    if not names:
        return []
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return []  # a builtin that does not say what it takes
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return []
    return [name for name in names if name not in parameters]
