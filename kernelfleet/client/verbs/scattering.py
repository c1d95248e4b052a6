"""Dividing a sequence among engines, putting it together again, and calling a function on each."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar, overload

from kernelfleet.client.controller_proxy import OnOutput
from kernelfleet.client.frontend import Begin
from kernelfleet.client.mapping.packing import packing
from kernelfleet.client.partition.blocks import split
from kernelfleet.client.partition.partitioners import Axis
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.targets import Targets, check_block
from kernelfleet.client.verbs.data import DataVerbs
from kernelfleet.client.verbs.names import call_label, checked_name
from kernelfleet.errors.tree import SerializationError
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.culprits import pieces_of_call
from kernelfleet.wire.objects.serialize import Frame, pack

R = TypeVar("R")


class ScatteringVerbs(DataVerbs):
    """``scatter``, ``gather`` and ``apply``; see ``MultiEngineClient``."""

    # fmt: off
    @overload
    def scatter(self, key: str, seq: Any, targets: Targets | None = ..., block: None = ..., *,
        flatten: bool = ..., axis: Axis = ..., timeout: float | None = ...) -> list[None] | Any: ...
    @overload
    def scatter(self, key: str, seq: Any, targets: Targets | None = ..., block: Literal[True] = ...,
        *, flatten: bool = ..., axis: Axis = ..., timeout: float | None = ...) -> list[None]: ...
    @overload
    def scatter(self, key: str, seq: Any, targets: Targets | None = ...,
        block: Literal[False] = ..., *, flatten: bool = ...,
        axis: Axis = ...) -> PendingResult[list[None]]: ...
    @overload
    def scatter(self, key: str, seq: Any, targets: Targets | None = ..., block: bool | None = ...,
        *, flatten: bool = ..., axis: Axis = ...,
        timeout: float | None = ...) -> list[None] | Any: ...
    # fmt: on
    def scatter(
        self,
        key: str,
        seq: Any,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        flatten: bool = False,
        axis: Axis = 0,
        timeout: float | None = None,
    ) -> Any:
        """Cut a sequence into contiguous blocks and push one to each engine.

        Blocks differ in length by one at most, and the first engines have the longer ones: 10
        items over 4 engines are 3, 3, 2 and 2.

        Args:
            key: The variable's name on the engines.
            seq: A list, tuple, string, range, array, or a table, tensor or sparse matrix of
                pandas, polars, pyarrow, xarray, torch or SciPy. Slicing keeps its type; a range
                is sent as lists. ``kernelfleet.register_partitioner`` adds other types.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            flatten: Push the item itself where a block has exactly one.
            axis: Along which axis arrays, tensors and data frames are cut; for xarray also the
                name of a dimension.
            timeout: Seconds to wait; None means no limit. The work goes on after it.

        Returns:
            ``[None] * n``: one None per target.

        Raises:
            TypeError: ``seq`` cannot be cut.
            SerializationError: it cannot be pickled; nothing was sent.
            MessageTooLarge: it is more than the fleet takes in one call; nothing was sent.
            CallTimeout: ``timeout`` expired; the work goes on.

        Example:
            >>> mec.scatter("part", range(10))
            [None, None, None, None]
            >>> mec["part"]
            [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9]]
        """
        name = checked_name(key)
        ids, blocks = self._resolve(targets), self._blocks(block, timeout)
        parts = split(seq, len(ids), flatten=flatten, axis=axis) if ids else []
        payloads = self._packed_parts(name, ids, parts, snapshot=not blocks)
        header = {
            "operation": "push",
            "payloads": [len(frames) for frames in payloads],
            "assign": list(range(len(ids))),
            "label": call_label("scatter", [name]),
        }
        frames = [frame for payload in payloads for frame in payload]
        return self._run(
            header, frames, {"kind": "none", "method": "scatter"},
            targets=ids, blocks=blocks, timeout=timeout,
        )  # fmt: skip

    def _packed_parts(
        self, name: str, ids: list[int], parts: list[Any], *, snapshot: bool
    ) -> list[list[Frame]]:
        """Each engine's block as frames, as what a push of ``name`` would send."""
        payloads: list[list[Frame]] = []
        for each, part in zip(ids, parts, strict=True):
            how = packing(self._connection, [each])
            try:
                payloads.append(pack({name: part}, snapshot=snapshot, **how))
            except SerializationError as error:
                raise SerializationError(f"{name!r}: {error}", name=name) from error.__cause__
        return payloads

    # fmt: off
    @overload
    def gather(self, key: str, targets: Targets | None = ..., block: Literal[True] | None = ..., *,
        axis: Axis = ..., timeout: float | None = ...) -> Any: ...
    @overload
    def gather(self, key: str, targets: Targets | None = ...,
        block: Literal[False] = ..., *, axis: Axis = ...) -> PendingResult[Any]: ...
    @overload
    def gather(self, key: str, targets: Targets | None = ..., block: bool | None = ..., *,
        axis: Axis = ..., timeout: float | None = ...) -> Any: ...
    # fmt: on
    def gather(
        self,
        key: str,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        axis: Axis = 0,
        timeout: float | None = None,
    ) -> Any:
        """Join a scattered sequence, in target order.

        Args:
            key: The variable's name on the engines.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            axis: Along which axis arrays and tables are joined, as for ``scatter``.
            timeout: Seconds to wait; None means no limit. The work goes on after it.

        Returns:
            By the type of the first engine's block: arrays and tables are concatenated, lists and
            tuples become one flat list, and anything else is the list of the engines' values.

        Raises:
            CompositeError: of ``NameError``, where the variable is missing.
            CallTimeout: ``timeout`` expired; the work goes on.

        Example:
            >>> _ = mec.scatter("part", range(6))
            >>> _ = mec.execute("part = [10 * x for x in part]")
            >>> mec.gather("part")
            [0, 10, 20, 30, 40, 50]
        """
        return self._pull("gather", checked_name(key), targets, block, timeout, axis=axis)

    # fmt: off
    @overload
    def apply(self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        targets: Targets | None = ..., block: Literal[True], timeout: float | None = ...,
        return_exceptions: Literal[False] = ..., **kwargs: Any) -> list[R]: ...
    @overload
    def apply(self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        targets: Targets | None = ..., block: Literal[False],
        return_exceptions: Literal[False] = ..., **kwargs: Any) -> PendingResult[list[R]]: ...
    @overload
    def apply(self, function: Callable[..., R], /, *args: Any,
        targets: Targets | None = ..., block: Literal[True], timeout: float | None = ...,
        return_exceptions: Literal[False] = ..., **kwargs: Any) -> list[R]: ...
    @overload
    def apply(self, function: Callable[..., R], /, *args: Any,
        targets: Targets | None = ..., block: Literal[False],
        return_exceptions: Literal[False] = ..., **kwargs: Any) -> PendingResult[list[R]]: ...
    @overload
    def apply(self, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any,
        targets: Targets | None = ..., block: bool | None = ..., timeout: float | None = ...,
        return_exceptions: bool = ..., **kwargs: Any) -> list[R] | Any: ...
    @overload
    def apply(self, function: Callable[..., R], /, *args: Any,
        targets: Targets | None = ..., block: bool | None = ..., timeout: float | None = ...,
        return_exceptions: bool = ..., **kwargs: Any) -> list[R] | Any: ...
    # fmt: on
    def apply(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        targets: Targets | None = None,
        block: bool | None = None,
        timeout: float | None = None,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Call ``function(*args, **kwargs)`` on each engine; an ``async def`` is awaited there.

        In IPython what the function prints and displays is shown, by engine, while it comes.

        A function that itself has a parameter called ``targets``, ``block``, ``timeout`` or
        ``return_exceptions`` goes through ``functools.partial``.

        Args:
            function: What to call. One of a notebook, a script or a function's inside travels by
                value; what can be imported travels as its name.
            args: Its positional arguments.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit. The work goes on after it.
            return_exceptions: Have the exception of an engine that failed in the place of its
                value, instead of raising.
            kwargs: Its keyword arguments.

        Returns:
            One return value per target, in target order.

        Raises:
            CompositeError: the function raised on one or more engines; the values of the others
                are in its ``results``, by engine id.
            TypeError: ``function`` is not callable.
            SerializationError: the call cannot be pickled; nothing was sent.
            UnsupportedOperation: it holds code, and an engine runs another Python; nothing was
                sent.
            CallTimeout: ``timeout`` expired; the work goes on.

        Example:
            >>> mec.apply(divmod, 17, 5, targets=[0, 1])
            [(3, 2), (3, 2)]
        """
        if not callable(function):
            raise TypeError(f"apply calls a function, not {type(function).__name__}")
        ids, blocks = self._resolve(targets), self._blocks(block, timeout)
        decode: JsonDict = {"kind": "apply", "method": "apply"}
        if check_block(return_exceptions, "return_exceptions"):
            decode["return_exceptions"] = True
        begin = self._applied(function, args, kwargs, ids, decode, snapshot=not blocks)
        if not blocks:
            return begin(None)
        self._refuse_to_wait_for_itself(ids, "apply")
        return self._wait_showing(begin, timeout, None)

    def _applied(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        ids: list[int],
        decode: JsonDict,
        *,
        snapshot: bool,
    ) -> Begin:
        """What makes the call, once it is said who gets its output. It is pickled now."""
        frames = pack(
            (function, args, kwargs),
            snapshot=snapshot,
            pieces=lambda: pieces_of_call(function, args, kwargs),
            **packing(self._connection, ids),
        )
        name = getattr(function, "__qualname__", type(function).__name__)
        header = {"operation": "apply", "payloads": [len(frames)], "label": f"apply({name})"}

        def begin(on_output: OnOutput | None) -> PendingResult[Any]:
            pending: PendingResult[Any] = self._run(
                header, frames, decode,
                targets=ids, blocks=False, timeout=None, on_output=on_output,
            )  # fmt: skip
            return pending

        return begin
