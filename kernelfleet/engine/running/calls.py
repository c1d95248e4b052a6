"""Calling a function that came with a request."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kernelfleet.engine.running.interrupts import (
    run_cancellable,
    run_interruptible,
)


def call(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call user code so that it can be interrupted.

    This is no coroutine, because a coroutine cannot raise the function's StopIteration (PEP 479).

    Returns:
        The value; for an ``async def`` function a coroutine that returns it.
    """
    value = run_interruptible(lambda: function(*args, **kwargs))
    return run_cancellable(value) if inspect.iscoroutine(value) else value
