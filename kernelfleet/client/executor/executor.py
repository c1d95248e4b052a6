"""FleetExecutor: the standard library's task interface on a fleet's engines.

``submit``, ``map``, ``shutdown`` and the futures behave as in ``concurrent.futures``, so that
``as_completed`` and ``wait`` of the standard library work on them. One thread per executor hands
the tasks out; they go through the engines' queues beside everything else.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from typing import TYPE_CHECKING, Any, TypeVar

from kernelfleet.client.executor.loop import TaskLoop
from kernelfleet.client.executor.tasks import (
    TaskFuture,
    TaskOptions,
    Tasks,
    options_among,
    outcomes,
)
from kernelfleet.client.mapping.options import check_chunksize, name_of
from kernelfleet.client.mapping.packing import nested_packing
from kernelfleet.client.targets import check_block, time_left
from kernelfleet.errors.tree import FleetError
from kernelfleet.wire.objects.culprits import pieces_of_call
from kernelfleet.wire.objects.serialize import (
    pack_nested,
)
from kernelfleet.wire.objects.staying import StaysHere

if TYPE_CHECKING:
    from kernelfleet.client.base import BaseClient

T = TypeVar("T")


class FleetExecutor(StaysHere, Executor):
    """A ``concurrent.futures.Executor`` on a fleet; made by ``MultiEngineClient.executor``.

    Tasks that were submitted are done before the program ends, as in the standard library.

    Example:
        >>> from concurrent.futures import as_completed
        >>> with mec.executor(retries=1) as executor:
        ...     futures = [executor.submit(pow, 2, n) for n in range(4)]
        ...     sorted(future.result() for future in as_completed(futures, timeout=10))
        [1, 2, 4, 8]
    """

    _instead = "submit the tasks from here"

    def __init__(
        self, client: BaseClient, engines: Callable[[], Sequence[int]], options: TaskOptions
    ) -> None:
        self._client, self._engines, self._options = client, engines, options
        self._tasks = Tasks()
        self._work = TaskLoop(client._connection, engines, self._tasks)
        self._work.start()
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

        Args:
            fn: What to call.
            args: Its positional arguments.
            kwargs: Its keyword arguments, and options of the task.

        Returns:
            A future, which also knows ``engine_id``, ``stdout``, ``stderr`` and ``outputs``.

        Raises:
            SerializationError: the call cannot be pickled.
            UnsupportedOperation: it holds code, and an engine runs another Python.
            FleetError: no engine has the required properties.
            RuntimeError: the executor was shut down.
            BrokenExecutor: there are no engines, or the client was closed.

        Example:
            >>> with mec.executor() as executor:
            ...     future = executor.submit(divmod, 17, 5)
            >>> future.result(), future.engine_id in mec.get_ids()
            ((3, 2), True)
        """
        options = {name: kwargs.pop(name) for name in options_among(fn, kwargs)}
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
            timeout: Likewise, in seconds.
            require: Likewise.

        Raises:
            TypeError: ``function`` is not callable; and what ``submit`` raises.

        Example:
            >>> with mec.executor() as executor:
            ...     future = executor.submit_task(dict, kwargs={"timeout": 3}, timeout=10)
            >>> future.result()
            {'timeout': 3}
        """
        if not callable(function):
            raise TypeError(f"a task is a function, not {type(function).__name__}")
        self._client._connection.check_process()
        given = {"retries": retries, "timeout": timeout, "require": require}
        options = self._options.updated(given)
        how = nested_packing(self._client._connection, self._engines())
        call = (function, tuple(args), dict(kwargs or {}))
        payload = pack_nested(call, snapshot=True, pieces=lambda: pieces_of_call(*call), **how)
        if self._client._connection.is_open and not self._tasks.closed:
            if not self._engines():
                raise BrokenExecutor("the executor has no engines: mec.restart brings dead ones up")
            engines = self._engines_with(options.require) if options.require else None
        else:
            engines = None  # put says why not
        name = name_of(function)
        future = self._tasks.put(payload, options, engines, self._work.place, name)
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
        """As ``concurrent.futures.Executor.map``; tasks are put into batches by themselves.

        Args:
            fn: What to call.
            iterables: The arguments, as for the builtin ``map``.
            timeout: Seconds from now until the last value; None means no limit.
            chunksize: Without effect, as with threads.
            return_exceptions: A task that fails gives its exception for a value.
            options: Keyword arguments of ``fn``.

        Returns:
            An iterator of the values, in order.

        Raises:
            TimeoutError: ``timeout`` expired before a value was there.
            Exception: what a task raised, when its value is reached.

        Example:
            >>> with mec.executor() as executor:
            ...     list(executor.map(abs, [-1, -2, -3]))
            [1, 2, 3]
        """
        check_chunksize(chunksize)
        timeout = time_left(timeout)
        if check_block(return_exceptions, "return_exceptions"):
            futures = [self.submit(fn, *args, **options) for args in zip(*iterables, strict=False)]
            return outcomes(futures, timeout)
        return super().map(fn, *iterables, timeout=timeout, chunksize=chunksize, **options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; ``submit`` raises RuntimeError from now on.

        Args:
            wait: Return when all that was submitted has ended.
            cancel_futures: Cancel the tasks that no engine has begun.

        Example:
            >>> executor = mec.executor()
            >>> executor.shutdown()
        """
        self._work.close(cancel=cancel_futures)
        if wait:
            self._work.wait()

    def abort(self) -> None:
        """Take no more tasks, drop what waits and interrupt what runs; waits for nothing.

        Futures of tasks that no engine has begun are cancelled.

        Example:
            >>> executor = mec.executor()
            >>> executor.abort()
        """
        self._work.abort()

    def _engines_with(self, require: Mapping[str, Any]) -> frozenset[int]:
        reply = self._client._connection.call(
            "get_properties", targets=list(self._engines()), keys=None
        )
        able = frozenset(
            result["id"]
            for result in reply.header["results"]
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
