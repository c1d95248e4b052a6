"""The dialect of IPython1 (2008 to 2011): verbs that are kept for code written for it.

Everything here can be said with the other verbs as well: ``push`` and ``pull`` move functions,
``kernelfleet.wait`` waits for PendingResults, and ``map`` takes the options of a mapper. New
programs need none of it.
"""

from __future__ import annotations

import functools
import operator
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, overload

from kernelfleet.client.mapping.maps import Function, MapVerbs
from kernelfleet.client.mapping.options import MapOptions
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.targets import Targets, check_targets, time_left
from kernelfleet.client.verbs.data import DataVerbs
from kernelfleet.errors.tree import CallTimeout, NotAPendingResult


class IPython1Verbs(DataVerbs, MapVerbs):
    """What IPython1's MultiEngineClient had beside the verbs above."""

    # fmt: off
    @overload
    def push_function(self, functions: Mapping[str, Callable[..., Any]],
        targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    @overload
    def push_function(self, functions: Mapping[str, Callable[..., Any]],
        targets: Targets | None = ..., block: Literal[True] = ..., *,
        timeout: float | None = ...) -> list[None]: ...
    @overload
    def push_function(self, functions: Mapping[str, Callable[..., Any]],
        targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[None]]: ...
    @overload
    def push_function(self, functions: Mapping[str, Callable[..., Any]],
        targets: Targets | None = ..., block: bool | None = ..., *,
        timeout: float | None = ...) -> list[None] | Any: ...
    # fmt: on
    def push_function(
        self,
        functions: Mapping[str, Callable[..., Any]],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Set functions (any callables) on engines. Their globals are the engine's namespace.

        Args:
            functions: Names and callables.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit. The work goes on after it.

        Returns:
            ``[None] * n``: one None per target.

        Raises:
            TypeError: ``functions`` is no dict, or a value is not callable.
            SerializationError: names the function that cannot be pickled; nothing was sent.
            CallTimeout: ``timeout`` expired; the work goes on.

        Example:
            >>> def double(x):
            ...     return 2 * x
            >>> mec.push_function({"f": double}, targets=0)
            [None]
            >>> mec.execute("f(21)", targets=0)[0].value
            42
        """
        if not isinstance(functions, Mapping):
            raise TypeError(
                f"push_function takes a dict of names and functions, not {type(functions).__name__}"
            )
        for name, function in functions.items():
            if not callable(function):
                raise TypeError(
                    f"{name!r} is not callable: push_function takes functions, push values"
                )
        return self._push("push_function", functions, targets, block, timeout)

    # fmt: off
    @overload
    def pull_function(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: None = ..., *, timeout: float | None = ...) -> list[Any] | Any: ...
    @overload
    def pull_function(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[True] = ..., *, timeout: float | None = ...) -> list[Any]: ...
    @overload
    def pull_function(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[Any]]: ...
    @overload
    def pull_function(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: bool | None = ..., *, timeout: float | None = ...) -> list[Any] | Any: ...
    # fmt: on
    def pull_function(
        self,
        names: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Get functions from engines, callable here.

        Args:
            names: As for ``pull``.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            A list in target order, of the shape that ``pull`` returns.

        Raises:
            CompositeError: as of ``pull``.
            UnsupportedOperation: a function is of another Python than this one.
            CallTimeout: ``timeout`` expired.

        Example:
            >>> _ = mec.execute("def f(x): return x + 1", targets=0)
            >>> [f] = mec.pull_function("f", targets=0)
            >>> f(41)
            42
        """
        return self._pull("pull_function", names, targets, block, timeout)

    # fmt: off
    @overload
    def zip_pull(self, names: str | Sequence[str], targets: Targets | None = ..., block: None = ...,
        *, timeout: float | None = ...) -> list[Any] | Any: ...
    @overload
    def zip_pull(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[True] = ..., *, timeout: float | None = ...) -> list[Any]: ...
    @overload
    def zip_pull(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: Literal[False] = ...) -> PendingResult[list[Any]]: ...
    @overload
    def zip_pull(self, names: str | Sequence[str], targets: Targets | None = ...,
        block: bool | None = ..., *, timeout: float | None = ...) -> list[Any] | Any: ...
    # fmt: on
    def zip_pull(
        self,
        names: str | Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """``pull``, by name instead of by engine.

        Args:
            names: As for ``pull``.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit.

        Returns:
            One tuple per name with its value on each engine: ``[(a0, a1, ...), (b0, b1, ...)]``.
            From a single engine just the values: ``[a, b]``.

        Raises:
            CompositeError: as of ``pull``.
            CallTimeout: ``timeout`` expired.

        Example:
            >>> _ = mec.execute("a = engine_id; b = a * a")
            >>> mec.zip_pull(("a", "b"))
            [(0, 1, 2, 3), (0, 1, 4, 9)]
            >>> mec.zip_pull(("a", "b"), targets=3)
            [3, 9]
        """
        return self._pull("zip_pull", names, targets, block, timeout)

    def barrier(
        self,
        pending_results: PendingResult[Any] | Iterable[PendingResult[Any]] | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        """Wait until results are there, good or bad; their errors come when they are fetched.

        Args:
            pending_results: One, any iterable, or None for all outstanding of this client.
            timeout: Seconds for all together; None means no limit.

        Raises:
            NotAPendingResult: something else was given.
            CallTimeout: ``timeout`` expired; ``.pending_result`` is the first that had not ended.

        Example:
            >>> pending = mec.execute("a = 5", block=False)
            >>> mec.barrier(pending, timeout=10)
            >>> pending.done()
            True
        """
        timeout = time_left(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        for pending in self._as_pending(pending_results):
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not pending.wait(left):
                text = f"{pending.method} has not ended after {timeout:g} s; the work goes on"
                raise CallTimeout(text, pending_result=pending)

    def _as_pending(
        self, given: PendingResult[Any] | Iterable[PendingResult[Any]] | None
    ) -> list[PendingResult[Any]]:
        if given is None:
            return list(self._outstanding.values())
        try:
            results = [given] if isinstance(given, PendingResult) else list(given)
        except TypeError:
            raise NotAPendingResult(f"barrier waits for PendingResults, not {given!r}") from None
        for each in results:
            if not isinstance(each, PendingResult):
                raise NotAPendingResult(f"barrier waits for PendingResults, not {each!r}")
        return results

    def flush(self) -> None:
        """Forget results not yet fetched, not the work; fetching one raises InvalidDeferredID.

        Example:
            >>> pending = mec.execute("a = 5", block=False)
            >>> mec.flush()
            >>> pending.result(timeout=10)
            Traceback (most recent call last):
            ...
            kernelfleet.InvalidDeferredID: the result was flushed
        """
        for pending in list(self._unfetched):
            pending.flush()
        self._unfetched.clear()

    def mapper(
        self,
        *,
        targets: Targets | None = None,
        block: bool | None = None,
        schedule: str = "dynamic",
        chunksize: int | None = None,
        retries: int = 1,
        progress: bool | None = None,
        return_exceptions: bool = False,
    ) -> Mapper:
        """An object whose ``map`` has these options; what is not given is the client's now.

        Args:
            targets: As for ``map``, and likewise the others.
            block: Likewise.
            schedule: Likewise.
            chunksize: Likewise.
            retries: Likewise.
            progress: Likewise.
            return_exceptions: Likewise.

        Raises:
            ValueError: an option makes no sense.
            InvalidEngineID: ``targets`` is a string other than ``'all'``, or negative.

        Example:
            >>> mapper = mec.mapper(targets=[0, 1], chunksize=2)
            >>> mapper.map(abs, [-1, -2, -3])
            [1, 2, 3]
        """
        return Mapper(
            self,
            self._targets if targets is None else check_targets(targets),
            self._blocks(block, None),
            MapOptions(schedule, chunksize, retries, return_exceptions),
            progress,
        )

    def parallel(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """A decorator: calling the function maps it over sequences.

        Args:
            function: The function, where the decorator is used without options.
            options: Those of ``mapper``.

        Raises:
            TypeError: what is decorated is not callable.

        Example:
            >>> @mec.parallel(targets=[0, 1])
            ... def square(x):
            ...     return x * x
            >>> square(range(4))
            [0, 1, 4, 9]
        """
        mapper = self.mapper(**options)

        def decorate(function: Callable[..., Any]) -> ParallelFunction:
            if not callable(function):
                raise TypeError(f"parallel decorates a function, not {type(function).__name__}")
            return ParallelFunction(mapper, function)

        return decorate if function is None else decorate(function)


@dataclass(frozen=True)
class Mapper:
    """``map`` with its options fixed: what ``mapper`` returns.

    Attributes:
        client: The client that maps.
        targets: Which engines, as the client takes them.
        block: Whether ``map`` waits for the values or returns a PendingResult.
        options: The other options of ``map``: ``schedule``, ``chunksize``, ``retries`` and
            ``return_exceptions``, each of which can also be read from the mapper itself.
        progress: Whether ``map`` shows a bar; None takes the client's.
    """

    client: MapVerbs
    targets: Any
    block: bool
    options: MapOptions
    progress: bool | None = None

    schedule = property(operator.attrgetter("options.schedule"))
    chunksize = property(operator.attrgetter("options.chunksize"))
    retries = property(operator.attrgetter("options.retries"))
    return_exceptions = property(operator.attrgetter("options.return_exceptions"))

    def map(self, function: Function, *sequences: Iterable[Any]) -> Any:
        """As ``MultiEngineClient.map``."""
        return self.client.map(
            function, *sequences,
            targets=self.targets, block=self.block, progress=self.progress,
            **asdict(self.options),
        )  # fmt: skip


class ParallelFunction:
    """A function that is mapped when it is called."""

    def __init__(self, mapper: Mapper, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.mapper, self.function = mapper, function

    def __call__(self, *sequences: Iterable[Any]) -> Any:
        """Map the function over the sequences."""
        return self.mapper.map(self.function, *sequences)

    def __reduce__(self) -> tuple[Any, ...]:
        """On an engine it is the plain function."""
        return _itself, (self.function,)


def _itself(function: Callable[..., Any]) -> Callable[..., Any]:
    return function
