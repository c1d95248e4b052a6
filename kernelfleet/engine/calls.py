"""Calling a function that came with a request."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kernelfleet.engine.interrupts import run_cancellable, run_interruptible


async def call(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call user code so that it can be interrupted; what an ``async def`` returns is awaited."""
    value = run_interruptible(lambda: function(*args, **kwargs))
    if inspect.iscoroutine(value):
        return await run_cancellable(value)
    return value
