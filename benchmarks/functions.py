"""The functions that engines of every side import and run.

numpy is imported by those that need it: memory is measured on engines that have not used it.
"""

from __future__ import annotations

import functools
import time
from typing import Any

#: What stands for an engine's namespace on sides that have none.
NAMESPACE: dict[str, Any] = {}


def run_code(code: str) -> None:
    exec(code, NAMESPACE)


def store(name: str, value: Any) -> None:
    NAMESPACE[name] = value


def load(name: str) -> Any:
    return NAMESPACE[name]


def increment(value: int) -> int:
    return value + 1


def work(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def total(array: Any) -> int:
    """The sum of an array's bytes, which no side may get wrong."""
    import numpy as np

    return int(array.view(np.uint8).sum(dtype=np.uint64))


def make_array(size_bytes: int) -> Any:
    """An array like any other: not zeros, which memory is cheap with."""
    import numpy as np

    return np.arange(size_bytes // 8, dtype=np.float64)


@functools.lru_cache(maxsize=1)
def make_array_once(size_bytes: int) -> Any:
    """The same array for every call: making it is nobody's work."""
    return make_array(size_bytes)
