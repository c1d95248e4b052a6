"""SIGINT: user code can be interrupted, the engine cannot.

Outside user code the signal does nothing (a Python function that does nothing, not SIG_IGN,
which children would inherit). Around user code it is Python's own handler, and awaiting code
is cancelled. A KeyboardInterrupt that lands behind the end of user code is dropped: what is
finished counts as finished.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def ignore(signum: int, frame: object) -> None:
    """Handle SIGINT outside user code."""


def install() -> None:
    """Make the engine deaf to SIGINT."""
    signal.signal(signal.SIGINT, ignore)


def run_interruptible(call: Callable[[], T]) -> T:
    """Call user code with Python's own handler installed.

    Between ``call`` and ``done`` Python looks for no signals; later interrupts are dropped.
    """
    value: Any = None
    error: BaseException | None = None
    done = False
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            value = call()
            done = True
            signal.signal(signal.SIGINT, ignore)
        except BaseException as raised:  # noqa: BLE001 - raised again below
            error = raised
            signal.signal(signal.SIGINT, ignore)
    except KeyboardInterrupt as again:
        error = error or again
        try:
            signal.signal(signal.SIGINT, ignore)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, ignore)
    if not done and error is not None:
        raise error
    return value  # type: ignore[no-any-return]


class Cancellation:
    """Whether the code that is (or was last) awaited has been interrupted; one per process."""

    interrupted = False


@contextmanager
def cancel_on_sigint(future: asyncio.Future[Any]) -> Iterator[None]:
    """Cancel the future when SIGINT comes, or raise in the task that is just running.

    ``call_soon_threadsafe`` wakes the loop; ipykernel 7.4 waits for the next message.
    """
    loop = asyncio.get_running_loop()
    Cancellation.interrupted = False
    own = asyncio.current_task(loop)

    def on_sigint(signum: int, frame: object) -> None:
        Cancellation.interrupted = True
        running = asyncio.current_task(loop)
        if running is not None and running is not own:
            raise KeyboardInterrupt  # user code that does not await just now
        loop.call_soon_threadsafe(future.cancel)

    before = signal.signal(signal.SIGINT, on_sigint)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def run_cancellable(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await user code; an interrupt is a KeyboardInterrupt, also where it was a cancellation."""

    async def shield_loop() -> tuple[T | None, BaseException | None]:
        # a KeyboardInterrupt that leaves a task would leave the event loop too
        try:
            return await coroutine, None
        except BaseException as error:  # noqa: BLE001 - raised again below
            return None, error

    task = asyncio.ensure_future(shield_loop())
    with cancel_on_sigint(task):
        value, error = await task
    if isinstance(error, asyncio.CancelledError) and Cancellation.interrupted:
        raise KeyboardInterrupt from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]
