"""FleetPool: the interface of ``multiprocessing.Pool`` on a fleet's engines.

For libraries that take a pool (emcee, dynesty, many scripts): ``map`` and its relatives go through
the fleet's own maps, single calls through an executor.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kernelfleet.client.mapping.options import check_chunksize
from kernelfleet.client.results.pending import check_callback
from kernelfleet.client.targets import time_left
from kernelfleet.errors.composite import CompositeError
from kernelfleet.session import ctrl_c
from kernelfleet.wire.objects.staying import StaysHere

if TYPE_CHECKING:
    from kernelfleet.client.executor.executor import FleetExecutor

T = TypeVar("T")

_CLOSED = "the pool was closed"


class AsyncResult(Generic[T]):
    """A value to come, as ``multiprocessing.pool.AsyncResult``.

    Args:
        future: Anything with ``result``, ``done`` and ``add_done_callback``.
        callback: Called with the value.
        error_callback: Called with the exception.
    """

    def __init__(
        self,
        future: Any,
        callback: Callable[[T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._future = future
        self._called = threading.Event()

        def tell(_: object) -> None:
            try:
                value = future.result()
            except BaseException as error:  # noqa: BLE001 (goes to whoever asks)
                if error_callback is not None:
                    error_callback(_first(error))
            else:
                if callback is not None:
                    callback(value)
            finally:
                self._called.set()

        future.add_done_callback(tell)

    def get(self, timeout: float | None = None) -> T:
        """The value; raises what the call raised.

        Raises:
            multiprocessing.TimeoutError: it is not there after ``timeout`` seconds.
        """
        if not self._wait(timeout):
            import multiprocessing

            raise multiprocessing.TimeoutError
        try:
            value: T = self._future.result()
        except CompositeError as error:
            raise _first(error) from error
        return value

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the value, at most ``timeout`` seconds."""
        self._wait(timeout)

    def _wait(self, timeout: float | None) -> bool:
        return self._called.wait(time_left(timeout))

    def ready(self) -> bool:
        """Whether the call has ended."""
        return self._called.is_set()

    def successful(self) -> bool:
        """Whether it has ended without an error.

        Raises:
            ValueError: it has not ended.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._future.exception() is None


class FleetPool(StaysHere):
    """A pool of the engines of a fleet; made by ``MultiEngineClient.pool``.

    Example:
        >>> with mec.pool() as pool:
        ...     pool.starmap(pow, [(2, 3), (3, 2)])
        [8, 9]
    """

    _instead = "use the pool from here"

    def __init__(self, client: Any, targets: Any) -> None:
        self._client, self._targets = client, targets
        self._executor: FleetExecutor = client.executor(targets=targets)
        self._closed = False
        #: Maps that go on: a closed pool is joined when they have ended.
        self._running: set[AsyncResult[Any]] = set()

    @property
    def size(self) -> int:
        """How many calls run at once (emcee and schwimmbad ask for it)."""
        return self._executor._max_workers

    def _check(self, chunksize: int | None = None) -> None:
        if self._closed:
            raise ValueError(_CLOSED)
        check_chunksize(chunksize)

    # -- maps -----------------------------------------------------------------------------------

    def map(
        self, func: Callable[..., T], iterable: Iterable[Any], chunksize: int | None = None
    ) -> list[T]:
        """``[func(x) for x in iterable]`` over the engines; ``chunksize`` has no effect."""
        return _waited_for(lambda: self.map_async(func, iterable, chunksize))

    def starmap(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[T]:
        """``[func(*args) for args in iterable]`` over the engines."""
        return self.map(_spread(func), map(tuple, iterable), chunksize)

    def map_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[list[T]]:
        """``map`` that does not wait."""
        self._check(chunksize)
        _check_callbacks(callback, error_callback)
        pending = self._client.map(func, list(iterable), targets=self._targets, block=False)
        return self._note(AsyncResult(pending, callback, error_callback))

    def starmap_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[list[T]]:
        """``starmap`` that does not wait."""
        items = map(tuple, iterable)
        return self.map_async(_spread(func), items, chunksize, callback, error_callback)

    def imap(
        self, func: Callable[..., T], iterable: Iterable[Any], chunksize: int = 1
    ) -> Iterator[T]:
        """Values in order, as they come; the iterable may be endless."""
        self._check(chunksize)
        return _plain(self._client.imap(func, iterable, targets=self._targets))

    def imap_unordered(
        self, func: Callable[..., T], iterable: Iterable[Any], chunksize: int = 1
    ) -> Iterator[T]:
        """Values as they come, in any order."""
        self._check(chunksize)
        return _plain(self._client.imap_unordered(func, iterable, targets=self._targets))

    # -- single calls ---------------------------------------------------------------------------

    def apply(
        self, func: Callable[..., T], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}
    ) -> T:
        """``func(*args, **kwds)`` on the engine that is free first."""
        call = functools.partial(func, **kwds) if kwds else func
        return _waited_for(lambda: self.map_async(_spread(call), [tuple(args)]))[0]

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[T]:
        """``apply`` that does not wait."""
        self._check()
        _check_callbacks(callback, error_callback)
        future = self._executor.submit_task(func, tuple(args), kwds)
        return self._note(AsyncResult(future, callback, error_callback))

    def _note(self, result: AsyncResult[T]) -> AsyncResult[T]:
        self._running = {each for each in self._running if not each.ready()}
        self._running.add(result)
        return result

    # -- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more work; what was given is done. The engines live on."""
        self._closed = True
        self._executor.shutdown(wait=False)

    def terminate(self) -> None:
        """Take no more work, and end what runs. The engines live on."""
        self._closed = True
        for result in self._running:
            cancel = result._future.cancel
            if not result.ready():
                cancel(interrupt=True) if hasattr(result._future, "_call_id") else cancel()
        self._executor.abort()

    def join(self) -> None:
        """Wait until all work is done.

        Raises:
            ValueError: the pool takes more work: ``close`` or ``terminate`` it first.
        """
        if not self._closed:
            raise ValueError("the pool is still running: close or terminate it first")
        for result in list(self._running):
            result.wait()
        self._executor.shutdown(wait=True)

    def __enter__(self) -> FleetPool:
        self._check()
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()


def _waited_for(begin: Callable[[], AsyncResult[T]]) -> T:
    """The value of a call that blocks. Ctrl-C ends its work on the engines, as everywhere."""
    result: AsyncResult[T] | None = None
    try:
        with ctrl_c.held():  # from the sending on: work whose result is not known here would go on
            result = begin()
        return result.get()
    except KeyboardInterrupt:
        if result is not None:
            result._future.cancel(interrupt=True)
        raise


def _check_callbacks(*callbacks: object) -> None:
    """Refuse what cannot be called before anything is sent: later nobody would hear of it."""
    for callback in callbacks:
        if callback is not None:
            check_callback(callback)


def _spread(function: Callable[..., T]) -> Callable[[Any], T]:
    """A function of one tuple: what ``starmap`` maps. A lambda travels by value."""
    if not callable(function):
        raise TypeError(f"a pool calls a function, not {type(function).__name__}")
    return lambda args: function(*args)


def _plain(values: Iterator[T]) -> Iterator[T]:
    """The values, and errors as a pool raises them."""
    try:
        yield from values
    except CompositeError as error:
        raise _first(error) from error


def _first(error: BaseException) -> BaseException:
    """What a pool raises: the first of several errors, as it was."""
    return error.exceptions[0] if isinstance(error, CompositeError) else error
