"""``asyncio.run`` in engine code, although the kernel's event loop is running.

While the call runs, the kernel's loop is not registered as the running loop, so asyncio's own code
can run another one: no loop is nested in another. Requests that arrive meanwhile wait, as they do
behind any cell.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any


def install(kernel_loop: asyncio.AbstractEventLoop) -> None:
    """Let ``asyncio.run`` and ``asyncio.Runner`` work in code that the kernel runs."""
    _report_early_interrupts()
    asyncio.run = asyncio.runners.run = _unnested(asyncio.runners.run, kernel_loop)
    for method in ("run", "close", "__exit__"):
        original = getattr(asyncio.Runner, method)
        setattr(asyncio.Runner, method, _unnested(original, kernel_loop))
    sys.meta_path.insert(0, _NestAsyncioFinder())


def _unnested(
    function: Callable[..., Any],
    kernel_loop: asyncio.AbstractEventLoop,
    elsewhere: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Wrap a function so that it finds no running loop if the kernel's is the running one.

    If another loop is running, the wrapper calls ``elsewhere``, or the function if that is None.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if asyncio._get_running_loop() is not kernel_loop:
            return (elsewhere or function)(*args, **kwargs)
        with _stepping_aside(kernel_loop):
            return function(*args, **kwargs)

    return wrapper


def _report_early_interrupts() -> None:
    """Let a run that is interrupted while it begins raise KeyboardInterrupt, not CancelledError.

    ``Runner.run`` of CPython 3.11 to 3.14 installs its handler of SIGINT and then sets its count of
    interrupts to 0. An interrupt in between is forgotten, and the cancellation is taken for
    somebody else's. This serves users who interrupt a cell right after its start. No issue is known
    upstream (the handler is of https://github.com/python/cpython/pull/32105); it can go with a
    Python that sets the count first.
    """
    run: Callable[..., Any] = asyncio.Runner.run
    on_sigint: Callable[..., None] = asyncio.Runner._on_sigint  # type: ignore[attr-defined]
    interrupted: weakref.WeakSet[asyncio.Runner] = weakref.WeakSet()

    def note_sigint(runner: asyncio.Runner, *args: Any, **kwargs: Any) -> None:
        interrupted.add(runner)
        on_sigint(runner, *args, **kwargs)

    @functools.wraps(run)
    def run_and_report(runner: asyncio.Runner, *args: Any, **kwargs: Any) -> Any:
        interrupted.discard(runner)
        try:
            return run(runner, *args, **kwargs)
        except asyncio.CancelledError:
            if runner in interrupted:
                raise KeyboardInterrupt from None
            raise

    asyncio.Runner._on_sigint = note_sigint  # type: ignore[attr-defined]
    asyncio.Runner.run = run_and_report  # type: ignore[method-assign, assignment]


@contextmanager
def _stepping_aside(kernel_loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    task = asyncio.current_task(kernel_loop)
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    try:
        if task is not None:
            asyncio.tasks._leave_task(kernel_loop, task)
        asyncio._set_running_loop(None)
        if in_main:
            # Runner cancels its main task on SIGINT only if Python's own handler is installed.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    finally:
        _step_back(kernel_loop, task, before if in_main else None)


def _step_back(
    kernel_loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any] | None, handler: Any
) -> None:
    """Make the kernel's loop the running one again, even if interrupts arrive meanwhile."""
    done = False
    while not done:
        try:
            asyncio.set_event_loop(kernel_loop)
            asyncio._set_running_loop(kernel_loop)
            if task is not None and asyncio.current_task(kernel_loop) is not task:
                asyncio.tasks._enter_task(kernel_loop, task)
            if handler is not None:
                signal.signal(signal.SIGINT, handler)
            done = True
        except KeyboardInterrupt:
            continue


class _NestAsyncioFinder(importlib.abc.MetaPathFinder):
    """Makes the idiom ``import nest_asyncio; nest_asyncio.apply()`` harmless.

    Under ipykernel 7, nest_asyncio 1.6 drops requests without a word, and it is archived. Its fork
    nest_asyncio2, which ipykernel itself uses (https://github.com/ipython/ipykernel/pull/1499), is
    applied in its place; what it mended is https://github.com/Chaoses-Ib/nest-asyncio2/pull/4.
    Nothing happens before user code imports nest_asyncio. This can go when nobody does.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find nest_asyncio where it is installed, with a loader that replaces ``apply``."""
        if fullname != "nest_asyncio":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _ReplacingLoader(spec.loader)
        return spec


class _ReplacingLoader(importlib.abc.Loader):
    """Loads nest_asyncio, whose ``apply`` becomes that of nest_asyncio2."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Let the real loader make the module."""
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        """Load the module, then replace its ``apply``."""
        self._loader.exec_module(module)
        module.__dict__["apply"] = _apply_fork


def _apply_fork(*args: Any, **kwargs: Any) -> None:
    """Allow nested event loops as nest_asyncio does, without losing requests."""
    fork = importlib.import_module("nest_asyncio2")
    unnested = asyncio.runners.run
    fork.apply(*args, **kwargs)
    if asyncio.run is not unnested:
        # Under the kernel's loop run unnested as before; nest only in loops that the user runs.
        nested = asyncio.run
        kernel_loop = asyncio.get_running_loop()
        asyncio.run = _unnested(unnested, kernel_loop, nested)
