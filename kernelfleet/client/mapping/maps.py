"""The verbs of parallel map: map, imap, imap_unordered."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Literal, TypeVar, overload

from kernelfleet.client.base import BaseClient, settle
from kernelfleet.client.controller_proxy import OnOutput
from kernelfleet.client.mapping.map_run import (
    MapResult,
    MapRun,
    iterate,
)
from kernelfleet.client.mapping.options import MapOptions, name_of
from kernelfleet.client.mapping.pairing import lazily_paired, paired
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.targets import Targets
from kernelfleet.errors.tree import NoEnginesRegistered
from kernelfleet.session import ctrl_c

Function = Callable[..., Any] | str
R = TypeVar("R")


class MapVerbs(BaseClient):
    """Map and the rest; see ``MultiEngineClient``."""

    # fmt: off
    @overload
    def map(self, function: Callable[..., Coroutine[Any, Any, R]], *sequences: Iterable[Any],
        targets: Targets | None = ..., block: Literal[True], timeout: float | None = ...,
        return_exceptions: Literal[False] = ...,
        schedule: str = ..., chunksize: int | None = ..., retries: int = ...,
        progress: bool | None = ...) -> list[R]: ...
    @overload
    def map(self, function: Callable[..., Coroutine[Any, Any, R]], *sequences: Iterable[Any],
        targets: Targets | None = ..., block: Literal[False],
        return_exceptions: Literal[False] = ...,
        schedule: str = ..., chunksize: int | None = ..., retries: int = ...,
        progress: bool | None = ...) -> PendingResult[list[R]]: ...
    @overload
    def map(self, function: Callable[..., R], *sequences: Iterable[Any],
        targets: Targets | None = ..., block: Literal[True], timeout: float | None = ...,
        return_exceptions: Literal[False] = ...,
        schedule: str = ..., chunksize: int | None = ..., retries: int = ...,
        progress: bool | None = ...) -> list[R]: ...
    @overload
    def map(self, function: Callable[..., R], *sequences: Iterable[Any],
        targets: Targets | None = ..., block: Literal[False],
        return_exceptions: Literal[False] = ...,
        schedule: str = ..., chunksize: int | None = ..., retries: int = ...,
        progress: bool | None = ...) -> PendingResult[list[R]]: ...
    @overload
    def map(self, function: Callable[..., Coroutine[Any, Any, R]], *sequences: Iterable[Any],
        targets: Targets | None = ..., block: bool | None = ..., timeout: float | None = ...,
        return_exceptions: bool = ...,
        schedule: str = ..., chunksize: int | None = ..., retries: int = ...,
        progress: bool | None = ...) -> list[R] | Any: ...
    @overload
    def map(self, function: Callable[..., R], *sequences: Iterable[Any],
        targets: Targets | None = ..., block: bool | None = ..., timeout: float | None = ...,
        return_exceptions: bool = ...,
        schedule: str = ..., chunksize: int | None = ..., retries: int = ...,
        progress: bool | None = ...) -> list[R] | Any: ...
    @overload
    def map(self, function: str, *sequences: Iterable[Any],
        targets: Targets | None = ..., block: Literal[False],
        return_exceptions: bool = ...,
        schedule: str = ..., chunksize: int | None = ..., retries: int = ...,
        progress: bool | None = ...) -> PendingResult[list[Any]]: ...
    @overload
    def map(self, function: str, *sequences: Iterable[Any],
        targets: Targets | None = ..., block: bool | None = ..., timeout: float | None = ...,
        return_exceptions: bool = ...,
        schedule: str = ..., chunksize: int | None = ..., retries: int = ...,
        progress: bool | None = ...) -> list[Any] | Any: ...
    # fmt: on
    def map(
        self,
        function: Function,
        *sequences: Iterable[Any],
        targets: Targets | None = None,
        block: bool | None = None,
        timeout: float | None = None,
        schedule: str = "dynamic",
        chunksize: int | None = None,
        retries: int = 1,
        progress: bool | None = None,
        return_exceptions: bool = False,
    ) -> Any:
        """Like the builtin ``map``, over engines: the values as a list, in order.

        In IPython what the items print and display is shown, by engine, while it comes.

        Items travel in batches that grow until one takes some tens of milliseconds; an engine
        that is done early takes over what waits behind another. An engine that dies loses
        nothing: its unfinished items run elsewhere.

        Args:
            function: A callable, or source text naming or being one (``'lambda x: x * x'``).
            sequences: Iterables. Those that have a length must have the same; the others are
                taken from only as far as these reach (``itertools.repeat(c)``).
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit. The work goes on after it.
            schedule: ``'dynamic'``, or ``'static'`` for one contiguous block per engine.
            chunksize: Items per batch; None adapts.
            retries: How often an item may be run again after an engine died with it; an error
                of the function is never tried again.
            progress: Show a bar if it takes long; None takes the client's.
            return_exceptions: An item that fails has its exception for a value, and the others go
                on; nothing is raised but for the loss of the fleet.

        Returns:
            A list of the values, in the order of the items; empty for no items.

        Raises:
            CompositeError: items failed. ``results`` has the values so far, by the index of the
                item, which also stands for the engine id in the message; what had not started
                was dropped.
            ValueError: the lengths of the sequences differ, or an option makes no sense.
            NoEnginesRegistered: there is no engine.
            SerializationError: the function cannot be pickled; nothing was sent.
            CallTimeout: ``timeout`` expired; ``.pending_result`` is the map, which goes on.

        Example:
            >>> mec.map(lambda x, y: x * y, range(6), range(6))
            [0, 1, 4, 9, 16, 25]
            >>> mec.map("str.upper", ["a", "b"])
            ['A', 'B']
        """
        _check_function(function)
        options = MapOptions(schedule, chunksize, retries, return_exceptions)
        return self._map(function, sequences, options, targets, block, timeout, progress)

    def _map(
        self,
        function: Function,
        sequences: tuple[Iterable[Any], ...],
        options: MapOptions,
        targets: Targets | None,
        block: bool | None,
        timeout: float | None,
        progress: bool | None,
    ) -> Any:
        ids, blocks = self._map_targets(targets), self._blocks(block, timeout)
        items, star = paired(sequences)
        begin = functools.partial(self._begin_map, ids, function, items, options, star)
        if not blocks:
            pending = begin(None)
            self._remember(pending)
            return pending
        return self._wait_showing(begin, timeout, progress)

    def _begin_map(
        self,
        engines: list[int],
        function: Function,
        items: list[Any],
        options: MapOptions,
        star: bool,
        on_output: OnOutput | None,
    ) -> PendingResult[list[Any]]:
        run = MapRun(
            self._connection, engines, function, items, options,
            star=star, label=f"map({name_of(function)})", on_output=on_output,
        )  # fmt: skip
        pending = MapResult(self._connection, self._reader, run, engines)
        try:
            with ctrl_c.held():  # or the work would run unseen: its first batch is soon sent
                run.start(pending)
        except KeyboardInterrupt as interrupt:
            settle(pending, interrupt)
            raise
        return pending

    # fmt: off
    @overload
    def imap(self, function: Callable[..., Coroutine[Any, Any, R]], *sequences: Iterable[Any],
        targets: Targets | None = ..., chunksize: int | None = ..., retries: int = ...,
        return_exceptions: Literal[False] = ...) -> Iterator[R]: ...
    @overload
    def imap(self, function: Callable[..., R], *sequences: Iterable[Any],
        targets: Targets | None = ..., chunksize: int | None = ..., retries: int = ...,
        return_exceptions: Literal[False] = ...) -> Iterator[R]: ...
    @overload
    def imap(self, function: Function, *sequences: Iterable[Any],
        targets: Targets | None = ..., chunksize: int | None = ..., retries: int = ...,
        return_exceptions: bool = ...) -> Iterator[Any]: ...
    # fmt: on
    def imap(
        self,
        function: Function,
        *sequences: Iterable[Any],
        targets: Targets | None = None,
        chunksize: int | None = None,
        retries: int = 1,
        return_exceptions: bool = False,
    ) -> Iterator[Any]:
        """A lazy map: an iterator of the values, in order.

        Items are taken from the sequences as they are needed: a generator of a million items
        keeps a bounded number in flight. Work goes on only while values are taken, in the thread
        that takes them; closing the iterator stops it.

        Args:
            function: As for ``map``.
            sequences: Iterables, which may be endless.
            targets: Which engines; None takes the client's.
            chunksize: Items per batch; None adapts.
            retries: How often an item may be run again after an engine died with it.
            return_exceptions: An item that fails has its exception for a value.

        Returns:
            An iterator of the values.

        Raises:
            CompositeError: when the value of a failed item is reached; it ends the iteration.

        Example:
            >>> import itertools
            >>> squares = mec.imap(lambda x: x * x, itertools.count())
            >>> [next(squares) for _ in range(4)]
            [0, 1, 4, 9]
            >>> squares.close()
        """
        options = MapOptions("dynamic", chunksize, retries, return_exceptions)
        return self._iterate(function, sequences, targets, options, ordered=True)

    # fmt: off
    @overload
    def imap_unordered(self, function: Callable[..., Coroutine[Any, Any, R]],
        *sequences: Iterable[Any], targets: Targets | None = ...,
        chunksize: int | None = ..., retries: int = ...,
        return_exceptions: Literal[False] = ...) -> Iterator[R]: ...
    @overload
    def imap_unordered(self, function: Callable[..., R], *sequences: Iterable[Any],
        targets: Targets | None = ..., chunksize: int | None = ..., retries: int = ...,
        return_exceptions: Literal[False] = ...) -> Iterator[R]: ...
    @overload
    def imap_unordered(self, function: Function, *sequences: Iterable[Any],
        targets: Targets | None = ..., chunksize: int | None = ..., retries: int = ...,
        return_exceptions: bool = ...) -> Iterator[Any]: ...
    # fmt: on
    def imap_unordered(
        self,
        function: Function,
        *sequences: Iterable[Any],
        targets: Targets | None = None,
        chunksize: int | None = None,
        retries: int = 1,
        return_exceptions: bool = False,
    ) -> Iterator[Any]:
        """Like ``imap``, each value as soon as it is there.

        Args:
            function: As for ``map``.
            sequences: As for ``imap``.
            targets: Which engines; None takes the client's.
            chunksize: Items per batch; None adapts.
            retries: How often an item may be run again after an engine died with it.
            return_exceptions: An item that fails has its exception for a value.

        Returns:
            An iterator of the values, in the order in which they come.

        Raises:
            CompositeError: as soon as an item has failed; it ends the iteration.

        Example:
            >>> sorted(mec.imap_unordered(abs, [-3, -2, -1]))
            [1, 2, 3]
        """
        options = MapOptions("dynamic", chunksize, retries, return_exceptions)
        return self._iterate(function, sequences, targets, options, ordered=False)

    def _iterate(
        self,
        function: Function,
        sequences: tuple[Iterable[Any], ...],
        targets: Targets | None,
        options: MapOptions,
        *,
        ordered: bool,
    ) -> Iterator[Any]:
        _check_function(function)
        ids = self._map_targets(targets)
        items, star = lazily_paired(sequences)
        return iterate(
            self._connection, ids, function, items, options,
            star=star, ordered=ordered, label=f"imap({name_of(function)})",
        )  # fmt: skip

    def _map_targets(self, targets: Targets | None, who: str = "map") -> list[int]:
        ids = list(dict.fromkeys(self._resolve(targets)))
        if not ids:
            raise NoEnginesRegistered(f"{who} needs at least one engine, and targets is empty")
        return ids


def _check_function(function: object) -> None:
    if not callable(function) and not isinstance(function, str):
        raise TypeError(f"map takes a function or its source text, not {type(function).__name__}")
    if isinstance(function, str):
        compile(function.strip(), "<map>", "eval")
