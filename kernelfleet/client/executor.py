"""FleetExecutor: the standard library's task interface on a fleet's engines.

``submit``, ``map``, ``shutdown`` and the futures behave as in ``concurrent.futures``, so that
``as_completed`` and ``wait`` of the standard library work on them. One thread per executor hands
the tasks out; they go through the engines' queues beside everything else.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import TYPE_CHECKING, Any, TypeVar

from kernelfleet.client.batches import Item
from kernelfleet.client.dispatch import Dispatcher
from kernelfleet.errors import EngineDied, FleetError
from kernelfleet.wire.serialize import EngineFunction, pack_nested

if TYPE_CHECKING:
    from kernelfleet.client.maps import MapVerbs

T = TypeVar("T")

_CALL_TASK = EngineFunction("kernelfleet.engine.mapping", "call_task")


class TaskFuture(Future[T]):
    """A ``concurrent.futures.Future`` of a task on the fleet."""


class _Tasks:
    """The tasks submitted and not handed out yet, as a source; thread-safe."""

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()
        self._lock = threading.Lock()
        self.futures: dict[int, Future[Any]] = {}

    @property
    def remaining(self) -> int:
        return len(self._waiting)

    def put(self, item: Item, future: Future[Any]) -> None:
        with self._lock:
            self.futures[item.key] = future
            self._waiting.append(item)

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

    def cancel_waiting(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
            for item in waiting:
                future = self.futures.pop(item.key)
                future.cancel()
                future.set_running_or_notify_cancel()


class FleetExecutor(Executor):
    """See ``MultiEngineClient.executor``."""

    def __init__(self, client: MapVerbs, engines: Sequence[int], *, retries: int = 0) -> None:
        self._client, self._engines, self._retries = client, list(engines), retries
        self._tasks = _Tasks()
        self._keys = itertools.count()
        self._shutdown = False
        self._interrupt = False
        self._broken: BaseException | None = None
        self._dispatcher = Dispatcher(
            client._connection, self._engines, self._tasks, self._settle,
            function=_CALL_TASK, star=False, label="task", verb="task", stop_on_error=False,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="kernelfleet-executor", daemon=True)
        self._thread.start()

    @property
    def _max_workers(self) -> int:
        """How many tasks run at the same time; libraries that take an Executor read this."""
        return len(self._engines)

    # -- the interface of concurrent.futures ----------------------------------------------------

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` on the engine that is free first.

        Raises:
            SerializationError: the call cannot be pickled.
            RuntimeError: the executor was shut down, or has no engines left.
        """
        return self.submit_task(fn, args, kwargs)

    def submit_task(
        self,
        function: Callable[..., T],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        retries: int | None = None,
        timeout: float | None = None,
        require: Mapping[str, Any] | None = None,
    ) -> Future[T]:
        """``submit`` with options, which would be arguments of the function there.

        Args:
            function: What to call.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            retries: How often to try again; None takes the executor's.
            timeout: Seconds the task may run before it is interrupted and fails with
                ``TimeoutError``; None means no limit.
            require: Properties an engine must have (``{'gpu': True}``, see ``set_properties``).

        Raises:
            FleetError: no engine has the required properties.
        """
        engines = None if not require else self._engines_with(require)
        payload = pack_nested((function, tuple(args), dict(kwargs or {})))
        future: Future[T] = TaskFuture()
        if self._shutdown:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._broken is not None:
            raise BrokenExecutor(f"the executor has no engines left: {self._broken}")
        item = Item(
            key=next(self._keys),
            payload=payload,
            retries=self._retries if retries is None else retries,
            timeout=timeout,
            engines=engines,
        )
        self._tasks.put(item, future)
        self._dispatcher.wake()
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[T]:
        """As ``concurrent.futures.Executor.map``; ``chunksize`` is chosen by itself anyway."""
        del chunksize
        return super().map(fn, *iterables, timeout=timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; wait for those submitted, or cancel what has not started."""
        self._shutdown = True
        if cancel_futures:
            self._tasks.cancel_waiting()
        self._dispatcher.wake()
        if wait:
            self._thread.join()

    # -- the executor's thread ------------------------------------------------------------------

    def _run(self) -> None:
        dispatcher = self._dispatcher
        try:
            while not self._finished():
                dispatcher.fill()
                if not self._finished():
                    dispatcher.step(dispatcher.cancel_timed_out(time.monotonic()))
        except BaseException as error:  # noqa: BLE001 (whoever waits must not hang)
            self._break(error)

    def _finished(self) -> bool:
        idle = not self._dispatcher.busy and not self._tasks.remaining
        lost = not self._client._connection.is_open
        if lost and idle:
            self._broken = self._broken or FleetError("the client was closed or lost its fleet")
        return idle and (self._shutdown or lost)

    def _settle(self, item: Item, value: Any, error: Exception | None, _tb: Sequence[str]) -> None:
        future = self._tasks.futures.get(item.key)
        if future is None:
            return
        retryable = error is not None and not isinstance(
            error, (EngineDied, CancelledError, FleetError)
        )
        if retryable and item.attempts < item.retries:
            self._dispatcher.try_again(item)
            return
        del self._tasks.futures[item.key]
        if error is None:
            future.set_result(value)
        else:
            if isinstance(error, EngineDied) and not self._dispatcher.assignment.engines:
                self._broken = error
            future.set_exception(error)

    def _break(self, error: BaseException) -> None:
        self._broken = error
        for future in list(self._tasks.futures.values()):
            if not future.done():
                future.set_exception(error)

    # -- properties -----------------------------------------------------------------------------

    def _engines_with(self, require: Mapping[str, Any]) -> frozenset[int]:
        alive = [i for i in self._engines if i in self._client._connection.roster.ids]
        reply = self._client._connection.call("get_properties", targets=alive, keys=None)
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
