"""What joblib's tasks need on an engine: values that came once for all of them, thread limits."""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Callable, Iterable
from typing import Any

#: By their keys: large arguments of the calls that go on, pickled; their data stay where they are.
_kept: dict[str, tuple[bytes, list[memoryview]]] = {}


class KeptValue:
    """Takes the place of a large argument in a task that travels; is that argument on arrival.

    Args:
        key: Under which the engine has it.
    """

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return get, (self.key,)


def keep(key: str, value: Any) -> None:
    """Have a value for the tasks that follow.

    The tasks share its data, so these must not be written to: each task gets an object of its own
    over data that are read-only, as from joblib's own backends, which map a file. (With one object
    for all, a task would silently see what other tasks of its engine have written into it.)
    """
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    _kept[key] = pickled, [buffer.raw().toreadonly() for buffer in buffers]


def get(key: str) -> Any:
    """A value of this key, of which the data are read-only.

    Raises:
        LookupError: this engine was started after the value had been sent.
    """
    try:
        pickled, buffers = _kept[key]
    except KeyError:
        text = "this engine was started in the middle of a call of joblib, and lacks its arrays"
        raise LookupError(text) from None
    return pickle.loads(pickled, buffers=buffers)


def drop(keys: Iterable[str]) -> None:
    """Let values go."""
    for key in keys:
        _kept.pop(key, None)


def ready() -> None:
    """Nothing but that this module, and with it joblib, is imported now, before any task.

    The import of joblib brings NumPy. Interrupted in its midst, as when a generator is given up at
    once, NumPy could not be imported again in that process.
    """


def call(batch: Callable[[], Any], max_threads: int | None) -> tuple[float, Any]:
    """Run a batch of joblib's tasks with at most so many threads of BLAS and OpenMP.

    Returns:
        How many seconds it took, and the values.
    """
    with _limited(max_threads):
        began = time.perf_counter()
        values = batch()
        return time.perf_counter() - began, values


def _limited(max_threads: int | None) -> contextlib.AbstractContextManager[Any]:
    if max_threads is None:
        return contextlib.nullcontext()
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()  # without it only a new process could be limited
    limits: contextlib.AbstractContextManager[Any] = threadpool_limits(max_threads)
    return limits
