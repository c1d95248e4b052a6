"""Running a batch of items on an engine, for ``map`` and for executor tasks.

``run_batch`` is called like any applied function and travels by reference, so a batch needs no
request type of its own. What it returns is packed already. If one value cannot be pickled, the
items are packed one by one, so that only its own item fails.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import CoroutineType
from typing import Any

from kernelfleet.errors.text import text_of
from kernelfleet.errors.tree import (
    SerializationError,
    UnsupportedOperation,
)
from kernelfleet.wire.objects.pythons import OtherPythons, asker
from kernelfleet.wire.objects.serialize import pack, pack_nested, unpack

#: How many functions are kept for later batches of the same call; a map uses one.
KEPT_FUNCTIONS = 16

_functions: OrderedDict[str, Callable[..., Any]] = OrderedDict()
#: Ids of functions whose calls are to end, because an item has failed.
_failed: deque[str] = deque(maxlen=KEPT_FUNCTIONS)

#: The outcome of one item: ``("ok", value)``, or ``("error", description)``.
Outcome = tuple[str, Any]


class UnknownFunction(LookupError):
    """This engine does not have the function of the batch, which must be sent again."""


def run_batch(
    function_id: str,
    function_frames: Sequence[Any] | None,
    items: Sequence[Any],
    star: bool,
    budget: float | None,
    stop_on_error: bool,
    python: str | None = None,
) -> Any:
    """Call a function on items, in order.

    Args:
        function_id: The name of the function in later batches.
        function_frames: The packed function in the first batch of a call, None in later ones.
        items: The arguments, one per item.
        star: Each item is a tuple of arguments, not one argument.
        budget: Time in seconds after which no further item is begun; None means no limit. Items
            that were not begun have no outcome.
        stop_on_error: Begin no further item after one that fails, neither of this batch nor of
            batches of the same call that wait behind it.
        python: The version of the client's Python, if it is another than this one.

    Returns:
        The frames of the outcomes and of the position in the output at which each item ends. For
        an ``async def`` function, a coroutine that returns the frames.

    Raises:
        UnknownFunction: The function is not here; no item was run.
    """
    function = _find(function_id, function_frames)
    batch = _Batch(star, budget, function_id if stop_on_error else None, asker(python))
    if function_id in _failed:
        return batch.packed()
    if inspect.iscoroutinefunction(function):
        return _run_async(function, items, batch)
    with _printing(batch):
        for item in items:
            try:
                value = function(*item) if star else function(item)
                if type(value) is CoroutineType:
                    value = _finish(value)
            except BaseException as error:  # noqa: BLE001 (an interrupt or exit fails its item)
                batch.failed(error)
            else:
                batch.succeeded(value)
            if batch.over:
                break
    return batch.packed()


async def _run_async(function: Callable[..., Any], items: Sequence[Any], batch: _Batch) -> Any:
    with _printing(batch):
        for item in items:
            try:
                value = await (function(*item) if batch.star else function(item))
            except asyncio.CancelledError as error:
                batch.failed(_interrupt_or(error))
            except BaseException as error:  # noqa: BLE001
                batch.failed(error)
            else:
                batch.succeeded(value)
            if batch.over:
                break
    return batch.packed()


def _interrupt_or(error: asyncio.CancelledError) -> BaseException:
    """Return KeyboardInterrupt if it was an interrupt that has cancelled what is awaited."""
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        return error  # the user's own
    while task.cancelling():
        task.uncancel()
    return KeyboardInterrupt().with_traceback(error.__traceback__)


class _Batch:
    """The outcomes of a batch so far, what was printed for each item, and whether to stop."""

    def __init__(
        self, star: bool, budget: float | None, stops: str | None, others: OtherPythons
    ) -> None:
        self.star = star
        self._others = others
        self.over = False
        self.counters: dict[str, _Counter] = {}
        self.displays = _Displays()
        self._stops = stops
        self._end = None if budget is None else time.perf_counter() + budget
        self._outcomes: list[Outcome] = []

    def succeeded(self, value: Any) -> None:
        """Add the value of the next item."""
        self._add(("ok", value))

    def failed(self, error: BaseException) -> None:
        """Add the error that the next item has raised."""
        self.over = self._stops is not None or not isinstance(error, Exception)
        if self._stops is not None:
            _failed.append(self._stops)
        self._add(("error", _describe(error)))

    def _add(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        for counter in self.counters.values():
            counter.end_item()
        self.displays.end_item()
        if self._end is not None and time.perf_counter() > self._end:
            self.over = True

    def packed(self) -> list[pickle.PickleBuffer]:
        """Pack the outcomes. A value that cannot be pickled fails its own item only."""
        counters: dict[str, _Counter | _Displays] = {**self.counters, "display": self.displays}
        printed = {name: counter.ends for name, counter in counters.items() if counter.total}
        others = self._others
        try:
            return pack_nested((self._outcomes, printed), other_pythons=others)
        except (SerializationError, UnsupportedOperation):
            checked = [_checked(outcome, others) for outcome in self._outcomes]
            return pack_nested((checked, printed), other_pythons=others)


class _Counter:
    """Counts the characters written to a stream, and notes the count at the end of each item."""

    def __init__(self, stream: Any) -> None:
        self.total = 0
        self.ends: list[int] = []
        self._stream = stream
        self._read_descriptor = getattr(stream, "read_descriptor", None)

    def write(self, text: str) -> Any:
        """Take the place of the stream's own ``write``."""
        written = type(self._stream).write(self._stream, text)
        self.total += len(text)
        return written

    def end_item(self) -> None:
        """Note that what is written from now on belongs to the next item."""
        if self._read_descriptor is not None:
            self._read_descriptor()  # what subprocesses have written so far belongs to this item
        self.ends.append(self.total)


class _Displays:
    """Counts what is displayed, and notes the count at the end of each item."""

    def __init__(self) -> None:
        self.total = 0
        self.ends: list[int] = []

    def end_item(self) -> None:
        """Note that what is displayed from now on belongs to the next item."""
        self.ends.append(self.total)

    def wrap(self, publish: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the publisher's method so that it counts. Updates of a display count nothing."""

        def counting(*args: Any, update: bool = False, **kwargs: Any) -> Any:
            self.total += not update
            return publish(*args, update=update, **kwargs)

        return counting


@contextmanager
def _printing(batch: _Batch) -> Iterator[None]:
    """Count what is written to stdout and stderr, and what is displayed, meanwhile."""
    streams = {"stdout": sys.stdout, "stderr": sys.stderr}
    publisher: Any = getattr(_shell(), "display_pub", None)
    counted = publisher is not None and "publish" not in vars(publisher)
    try:
        for name, stream in streams.items():
            if stream is None or "write" in getattr(stream, "__dict__", {"write": None}):
                continue  # somebody else has put something of his own there
            batch.counters[name] = counter = _Counter(stream)
            stream.write = counter.write  # type: ignore[method-assign]
        if counted:
            publisher.publish = batch.displays.wrap(publisher.publish)
        yield
    finally:
        for name in batch.counters:
            vars(streams[name]).pop("write", None)
        if counted:
            vars(publisher).pop("publish", None)


def stop_counting() -> None:
    """Take away what a batch counts with, should an interrupt have kept it from doing so.

    The next batch would take it for the user's own, not count, and give all that its items print
    to the first of them. Call it where no interrupt is raised.
    """
    for stream in (sys.stdout, sys.stderr):
        own = getattr(stream, "__dict__", {})
        if isinstance(getattr(own.get("write"), "__self__", None), _Counter):
            own.pop("write", None)
    own = getattr(getattr(_shell(), "display_pub", None), "__dict__", {})
    if getattr(own.get("publish"), "__qualname__", "").startswith(_Displays.wrap.__qualname__):
        own.pop("publish", None)


def _shell() -> Any:
    from IPython import get_ipython

    return get_ipython()


def call_task(frames: Sequence[Any]) -> Any:
    """Run one executor task: its packed function and arguments."""
    function, args, kwargs = unpack(frames)
    return function(*args, **kwargs)


def _finish(coroutine: Any) -> Any:
    """Await a coroutine that a plain function has returned."""
    try:
        asyncio.get_running_loop()
        beside = hasattr(asyncio.run, "__wrapped__")
    except RuntimeError:
        beside = True
    if beside:
        return asyncio.run(coroutine)  # on a loop of its own, see asyncio_run.py
    with ThreadPoolExecutor(1) as pool:  # in a kernel that is not kernelfleet's
        return pool.submit(asyncio.run, coroutine).result()


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
    """Evaluate source text in the engine's namespace; it must be a callable."""
    shell = _shell()
    function = eval(source, shell.user_global_ns, shell.user_ns)  # noqa: S307 (it is the user's)
    if not callable(function):
        raise TypeError(f"{source!r} is not callable on the engine: {type(function).__name__}")
    return function  # type: ignore[no-any-return]


#: What precedes the text of an error; that of a SerializationError names the result already.
_OF_RESULT = {SerializationError: "", UnsupportedOperation: "the result: "}


def _checked(outcome: Outcome, others: OtherPythons) -> Outcome:
    try:
        pack(outcome, other_pythons=others, pieces=lambda: [("the result", outcome[1])])
    except (SerializationError, UnsupportedOperation) as error:
        return "error", {
            "ename": type(error).__name__,
            "evalue": f"{_OF_RESULT[type(error)]}{error}",
            "traceback": [],
            "kind": "serialization",
            "exception": None,
        }
    return outcome


def _describe(error: BaseException) -> dict[str, Any]:
    """Describe an error, with its traceback from the first frame of the user's on."""
    from kernelfleet.engine.running.tracebacks import render

    shell = _shell()
    lines = list(render(shell, error)) if shell is not None else []
    frames: list[pickle.PickleBuffer] | None = None
    if isinstance(error, Exception):
        try:
            frames = pack_nested(error)
        except SerializationError:
            frames = None
    return {
        "ename": type(error).__name__,
        "evalue": text_of(error),
        "traceback": lines,
        "kind": "user",
        "exception": frames,
    }
