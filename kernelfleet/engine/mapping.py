"""Running a batch of items on an engine, for ``map`` and for executor tasks.

``run_batch`` is called like any applied function, so a batch needs no request type of its own;
it travels by reference and runs here. What it returns is packed already, item by item only where
that is needed, so that one value that cannot be pickled fails its own item and no other.
"""

from __future__ import annotations

import inspect
import pickle
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from kernelfleet.errors import SerializationError
from kernelfleet.wire.serialize import pack, pack_nested, unpack

#: Functions kept for later batches of the same call; a map uses one.
KEPT_FUNCTIONS = 16

_functions: OrderedDict[str, Callable[..., Any]] = OrderedDict()

#: What became of one item: ``("ok", value)``, or ``("error", description)``.
Outcome = tuple[str, Any]


class UnknownFunction(LookupError):
    """This engine does not have the batch's function (any more): it must be sent again."""


def run_batch(
    function_id: str,
    function_frames: Sequence[Any] | None,
    items: Sequence[Any],
    star: bool,
    budget: float | None,
    stop_on_error: bool,
) -> Any:
    """Call a function on items, in order.

    Args:
        function_id: Names the function for later batches.
        function_frames: The packed function, with the first batch of a call; else None.
        items: The arguments, one per item.
        star: Each item is a tuple of arguments, not one argument.
        budget: Stop before the next item after so many seconds; None means no limit. Items not
            reached are simply not in the answer.
        stop_on_error: Stop after the first item that fails.

    Returns:
        Frames of a list of outcomes, or a coroutine of them for an ``async def``.

    Raises:
        UnknownFunction: nothing was run.
    """
    function = _find(function_id, function_frames)
    if inspect.iscoroutinefunction(function):
        return _run_async(function, items, star, budget, stop_on_error)
    outcomes: list[Outcome] = []
    end = None if budget is None else time.perf_counter() + budget
    for item in items:
        try:
            value = function(*item) if star else function(item)
        except BaseException as error:  # noqa: BLE001 (an interrupt or exit fails its item, too)
            outcomes.append(("error", _describe(error)))
            if stop_on_error or isinstance(error, KeyboardInterrupt):
                break
        else:
            outcomes.append(("ok", value))
        if end is not None and time.perf_counter() > end:
            break
    return _packed(outcomes)


async def _run_async(
    function: Callable[..., Any],
    items: Sequence[Any],
    star: bool,
    budget: float | None,
    stop_on_error: bool,
) -> Any:
    outcomes: list[Outcome] = []
    end = None if budget is None else time.perf_counter() + budget
    for item in items:
        try:
            value = await (function(*item) if star else function(item))
        except BaseException as error:  # noqa: BLE001
            outcomes.append(("error", _describe(error)))
            if stop_on_error or not isinstance(error, Exception):
                break
        else:
            outcomes.append(("ok", value))
        if end is not None and time.perf_counter() > end:
            break
    return _packed(outcomes)


def call_task(frames: Sequence[Any]) -> Any:
    """Run one executor task: its packed function and arguments."""
    function, args, kwargs = unpack(frames)
    value = function(*args, **kwargs)
    if inspect.iscoroutine(value):
        return _finish(value)
    return value


def _finish(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)  # un-nested on a loop of its own, see asyncio_run.py


def _find(function_id: str, frames: Sequence[Any] | None) -> Callable[..., Any]:
    if frames is not None:
        function = unpack(frames)
        if isinstance(function, str):
            function = _from_source(function)
        _functions[function_id] = function
        while len(_functions) > KEPT_FUNCTIONS:
            _functions.popitem(last=False)
    elif function_id not in _functions:
        raise UnknownFunction(function_id)
    _functions.move_to_end(function_id)
    return _functions[function_id]


def _from_source(source: str) -> Callable[..., Any]:
    """The callable that a source text names or is, in the engine's namespace."""
    from IPython import get_ipython

    shell = get_ipython()
    function = eval(source, shell.user_global_ns, shell.user_ns)  # noqa: S307 (it is the user's)
    if not callable(function):
        raise TypeError(f"{source!r} is not callable on the engine: {type(function).__name__}")
    return function  # type: ignore[no-any-return]


def _packed(outcomes: list[Outcome]) -> list[pickle.PickleBuffer]:
    try:
        return pack_nested(outcomes)
    except SerializationError:
        return pack_nested([_checked(outcome) for outcome in outcomes])


def _checked(outcome: Outcome) -> Outcome:
    try:
        pack(outcome)
    except SerializationError as error:
        return "error", {
            "ename": "SerializationError",
            "evalue": f"the result {error}",
            "traceback": [],
            "kind": "serialization",
            "exception": None,
        }
    return outcome


def _describe(error: BaseException) -> dict[str, Any]:
    """An error with its traceback, from the user's first frame on."""
    from IPython import get_ipython

    from kernelfleet.engine.tracebacks import render

    shell = get_ipython()
    frames: list[pickle.PickleBuffer] | None = None
    if isinstance(error, Exception):
        try:
            frames = pack_nested(error)
        except SerializationError:
            frames = None
    return {
        "ename": type(error).__name__,
        "evalue": str(error),
        "traceback": list(render(shell, error)) if shell is not None else [],
        "kind": "user",
        "exception": frames,
    }
