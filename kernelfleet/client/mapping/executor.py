"""FleetExecutor: the standard library's task interface on a fleet's engines.

``submit``, ``map``, ``shutdown`` and the futures behave as in ``concurrent.futures``, so that
``as_completed`` and ``wait`` of the standard library work on them. One thread per executor hands
the tasks out; they go through the engines' queues beside everything else.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from typing import TYPE_CHECKING, Any, TypeVar

from kernelfleet.client.frontend import running_shell
from kernelfleet.client.mapping.batches import Item, Outcome
from kernelfleet.client.mapping.dispatch import Dispatcher
from kernelfleet.client.mapping.options import Call, name_of
from kernelfleet.client.mapping.tasks import (
    TaskFuture,
    TaskOptions,
    TaskPlace,
    Tasks,
    options_among,
    outcomes,
)
from kernelfleet.client.targets import check_block
from kernelfleet.errors.composite import Failure
from kernelfleet.errors.tree import FleetError
from kernelfleet.wire.objects.culprits import pieces_of_call
from kernelfleet.wire.objects.serialize import (
    EngineFunction,
    pack_nested,
)
from kernelfleet.wire.objects.staying import StaysHere

if TYPE_CHECKING:
    from kernelfleet.client.base import BaseClient
    from kernelfleet.client.controller_proxy import ControllerProxy

T = TypeVar("T")

_CALL = Call(
    EngineFunction("kernelfleet.engine.running.batches", "call_task"),
    label="task", verb="task", stop_on_error=False,
)  # fmt: skip
#: How long interrupted tasks may take to end when the program does, in seconds.
SETTLE_SECONDS = 1.5


class _Work:
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
                    self.dispatcher.cancel_all(interrupt=True)
                self.dispatcher.fill()
                if self._cancelling:
                    self._cancel_what_waits()
                if not self._finished():
                    self.dispatcher.step()
        except BaseException as error:  # noqa: BLE001 (whoever waits must not hang)
            self._break(error)
        finally:
            self.dispatcher.close()
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
        self._tasks.cancel_what_waits()
        with self.dispatcher.sending:
            for future in list(self._tasks.futures.values()):
                if (place := future._place) is not None:
                    place.item.unwanted = True
        self.dispatcher.take_back_what_waits()
        self._cancelled.set()

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
            self._thread.join(timeout)

    def end_with_the_program(self) -> None:
        """Do what was submitted before the program ends, as the standard library's pools do.

        Ctrl-C ends the tasks instead, then or if it has ended the program.
        """
        try:
            if os.getpid() != self._process:
                return  # a forked child, where the thread is not
            self.close()
            if not _ended_by_ctrl_c():
                self.wait()
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
        self._work = _Work(client._connection, engines, self._tasks)
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
        others = self._client._connection.roster.others(self._engines())
        call = (function, tuple(args), dict(kwargs or {}))
        payload = pack_nested(
            call, snapshot=True, other_pythons=others, pieces=lambda: pieces_of_call(*call)
        )
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


def _ended_by_ctrl_c() -> bool:
    """Whether a KeyboardInterrupt that nobody caught is why the program ends."""
    if running_shell() is not None:
        return False  # there it is how a cell has ended, and long ago
    kind = getattr(sys, "last_type", None)
    return isinstance(kind, type) and issubclass(kind, KeyboardInterrupt)
