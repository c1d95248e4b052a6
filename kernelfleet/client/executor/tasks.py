"""What is submitted to an executor: tasks, their options and their futures."""

from __future__ import annotations

import inspect
import itertools
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kernelfleet.client.mapping.batches import Batch, Engines, Item
from kernelfleet.client.mapping.retries import RetryPolicy
from kernelfleet.client.targets import check_count, check_timeout, time_left
from kernelfleet.errors.tree import FleetError
from kernelfleet.session.future import Future
from kernelfleet.wire.messages import JsonDict

if TYPE_CHECKING:
    from kernelfleet.client.controller_proxy import ControllerProxy
    from kernelfleet.client.mapping.dispatch import Dispatcher

T = TypeVar("T")

OPTIONS = ("retries", "timeout", "require")
#: How long the controller may take to say where a task is.
ASK_SECONDS = 1.5


class TaskFuture(Future[T]):
    """A ``concurrent.futures.Future`` of a task on the fleet.

    Attributes:
        engine_id: Where it ran; None before it has ended.
        stdout: What the task printed, kept with its result; likewise ``stderr``.
        outputs: What it displayed and printed, as Jupyter outputs.
    """

    engine_id: int | None = None
    stdout: str = ""
    stderr: str = ""
    outputs: Sequence[JsonDict] = ()

    def __init__(self) -> None:
        super().__init__()
        #: Finds out where the task is; None when it has ended.
        self._place: TaskPlace | None = None

    def running(self) -> bool:
        """Whether an engine has begun with it, and it has not ended. The controller is asked."""
        place = self._place
        return place is not None and not self.done() and place.has_begun() and not self.done()

    def cancel(self) -> bool:
        """Drop the task if no engine has begun with it; whether it is cancelled then."""
        place = self._place
        if self.done() or place is None or not place.take_out():
            return self.cancelled()
        self.drop()
        return True

    def drop(self) -> None:
        """Resolve it as cancelled; the caller has made sure that nothing else resolves it."""
        self._place = None
        super().cancel()
        self.set_running_or_notify_cancel()  # or concurrent.futures.wait would not see the end


class TaskPlace:
    """Where a task is: here, on its way, waiting at an engine, or running there.

    No message is sent when an engine begins with a task, as that would be one for each task; the
    controller is asked when somebody wants to know.
    """

    def __init__(
        self,
        item: Item,
        futures: dict[int, TaskFuture[Any]],
        dispatcher: Dispatcher,
        connection: ControllerProxy,
    ) -> None:
        self.item, self._futures = item, futures
        self._dispatcher, self._connection = dispatcher, connection

    def has_begun(self) -> bool:
        """Whether an engine has begun with its batch."""
        batch = self.item.batch
        if batch is not None and not batch.begun:
            value = self._ask("progress", result_id=batch.result_id, brief=True)
            batch.begun = value is not None and bool(value["begun"])
        return batch is not None and batch.begun

    def take_out(self) -> bool:
        """Have the task not run; False if an engine has begun with it, or it has ended.

        After True the caller settles its future, and nobody else does.
        """
        item = self.item
        with self._dispatcher.sending:
            item.unwanted = True
            batch = item.batch
        if batch is not None and not self._is_dropped(batch):
            with self._dispatcher.sending:
                if item.batch is batch:
                    item.unwanted = False
                    return False
        return self._futures.pop(item.key, None) is not None

    def _is_dropped(self, batch: Batch) -> bool:
        """Whether the engine had not begun; the other items of the batch are sent again."""
        batch.taken_back = True
        value = self._ask("cancel", result_id=batch.result_id, interrupt=False)
        return value is not None and bool(value["dropped"])

    def _ask(self, verb: str, **fields: Any) -> JsonDict | None:
        try:
            reply = self._connection.call(verb, ASK_SECONDS, **fields)
        except (TimeoutError, FleetError):  # unreachable, or this is the loop thread
            return None
        value: JsonDict | None = reply.header["value"]
        return value


@dataclass(frozen=True)
class TaskOptions:
    """How a task is run; see ``MultiEngineClient.executor``."""

    retries: int | None = None
    timeout: float | None = None
    require: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.retries is not None:
            check_count(self.retries, 0, "retries is at least 0, or None")
        if check_timeout(self.timeout) == 0:
            raise ValueError(f"timeout is more than 0 seconds, or None, not {self.timeout!r}")
        if self.require is not None and not isinstance(self.require, Mapping):
            raise TypeError(f"require is a dict of properties, not {type(self.require).__name__}")

    @property
    def retry_policy(self) -> RetryPolicy:
        """When the task is run again."""
        if self.retries is None:
            return RetryPolicy()
        return RetryPolicy(after_deaths=self.retries, after_errors=self.retries)

    def updated(self, options: Mapping[str, Any]) -> TaskOptions:
        """The same but for the options that are given."""
        given = {name: value for name, value in options.items() if value is not None}
        return TaskOptions(**{**self.__dict__, **given}) if given else self


class Tasks:
    """The tasks submitted and not handed out yet, as a source; thread-safe."""

    varied = True

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()
        self._lock = threading.RLock()  # a finalizer may come at any time
        self._keys = itertools.count()
        self._closed: Exception | None = None
        self.futures: dict[int, TaskFuture[Any]] = {}

    @property
    def remaining(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether no more tasks are taken."""
        return self._closed is not None

    def put(
        self,
        payload: Any,
        options: TaskOptions,
        engines: Engines,
        place: Callable[[Item], TaskPlace],
        name: str = "",
    ) -> TaskFuture[Any]:
        """Take a task; ``place`` makes what its future asks where the task is.

        ``name`` is that of its function, for ``queue_status``.
        """
        with self._lock:
            if self._closed is not None:
                raise self._closed.with_traceback(None)
            item = Item(
                next(self._keys),
                payload,
                options.retry_policy,
                timeout=options.timeout,
                engines=engines,
                name=name,
            )
            future = TaskFuture[Any]()
            future._place = place(item)
            self.futures[item.key] = future
            self._waiting.append(item)
        return future

    def take(self, count: int) -> list[Item]:
        """Up to so many, but for those that were cancelled meanwhile."""
        taken: list[Item] = []
        with self._lock:
            while self._waiting and len(taken) < count:
                item = self._waiting.popleft()
                if not item.unwanted:
                    taken.append(item)
        return taken

    def close(self, error: Exception) -> None:
        """Take no more tasks; ``submit`` raises the error from now on."""
        with self._lock:
            self._closed = self._closed or error

    def cancel_what_waits(self) -> None:
        """Cancel what has not been handed out."""
        with self._lock:
            while self._waiting:
                future = self.futures.pop(self._waiting.popleft().key, None)
                if future is not None:
                    future.drop()


def options_among(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> list[str]:
    """The keywords that are options of the task: those the function cannot take."""
    names = [name for name in OPTIONS if name in kwargs]
    if not names:
        return []
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        # A class such as dict may take any keyword. A builtin function without a signature (of
        # CPython up to 3.12 ``time.sleep``) says in its documentation which ones it takes.
        text = function.__doc__ if isinstance(function, types.BuiltinFunctionType) else None
        return [name for name in names if name not in text] if text else []
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return []
    return [name for name in names if name not in parameters]


def outcomes(futures: list[TaskFuture[Any]], timeout: float | None) -> Iterator[Any]:
    """Each task's value or exception, in order; whoever stops taking them cancels the rest."""
    seconds = time_left(timeout)
    deadline = None if seconds is None else time.monotonic() + seconds

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
