"""Large arguments of joblib's tasks: sent once to each engine for a whole call of Parallel."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from typing import Any

from kernelfleet.client.client import MultiEngineClient
from kernelfleet.joblib.worker import KeptValue, drop, keep

#: Arguments from this size on travel once per engine.
LARGE_BYTES = 1024 * 1024


class Keeper:
    """Sends large arguments once to each engine.

    Args:
        mec: The client that sends them.
        targets: The engines.
    """

    def __init__(self, mec: MultiEngineClient, targets: Any) -> None:
        self._mec, self._targets = mec, targets
        #: By the identity of a value: the value, which lives as long, and its key.
        self._sent: dict[int, tuple[Any, str]] = {}

    def without_large(self, batch: Any) -> tuple[Any, int]:
        """A batch of joblib with keys for large arguments, and the bytes of the others."""
        items = getattr(batch, "items", None)
        if not isinstance(items, list):
            return batch, 0
        large, small_bytes = False, 0
        for _, args, kwargs in items:
            for value in (*args, *kwargs.values()) if kwargs else args:
                if type(value) in _PLAIN:  # most arguments; this is asked for each of them
                    continue
                size = size_of(value)
                if size >= LARGE_BYTES:
                    large = True
                else:
                    small_bytes += size
        if not large:
            return batch, small_bytes
        slim = copy.copy(batch)
        slim.items = [
            (
                function,
                tuple(map(self._slim, args)),
                {name: self._slim(value) for name, value in kwargs.items()},
            )
            for function, args, kwargs in items
        ]
        return slim, small_bytes

    def _slim(self, value: Any) -> Any:
        if size_of(value) < LARGE_BYTES:
            return value
        if id(value) not in self._sent:
            key = uuid.uuid4().hex
            # In the queue of each engine it comes before the tasks, which are sent later.
            self._mec.apply(keep, key, value, targets=self._targets, block=False)
            self._sent[id(value)] = value, key
        return KeptValue(self._sent[id(value)][1])

    def drop_all(self) -> None:
        """Have the engines let everything go."""
        keys = [key for _, key in self._sent.values()]
        self._sent.clear()
        if keys and self._engines_live():
            self._mec.apply(drop, keys, targets=self._targets, block=False)

    def _engines_live(self) -> bool:
        try:
            return bool(self._mec.get_ids())
        except ConnectionError:
            return False


def size_of(value: Any) -> int:
    """The bytes of an array, a data frame or a sparse matrix; 0 of anything else."""
    measure = _MEASURES.get(type(value).__module__.partition(".")[0])
    return 0 if measure is None else measure(value)


def _bytes_of_frame(frame: Any) -> int:
    if not hasattr(frame, "memory_usage"):
        return 0
    usage = frame.memory_usage()
    return int(getattr(usage, "sum", lambda: usage)())


def _bytes_of_matrix(matrix: Any) -> int:
    return int(getattr(getattr(matrix, "data", None), "nbytes", 0))


def _bytes_of_polars(frame: Any) -> int:
    return int(frame.estimated_size()) if hasattr(frame, "estimated_size") else 0


def _bytes_of_array(array: Any) -> int:
    return int(getattr(array, "nbytes", 0))


_PLAIN = frozenset({bool, int, float, str, type(None), tuple, list, dict})
#: How large the values of a package are, by its name.
_MEASURES: dict[str, Callable[[Any], int]] = {
    "numpy": _bytes_of_array,
    "pandas": _bytes_of_frame,
    "scipy": _bytes_of_matrix,
    "polars": _bytes_of_polars,
    "pyarrow": _bytes_of_array,
}
