"""Interrupting what an engine runs: our own kernels by the request's name, others by a signal.

A bare SIGINT that arrives before the code has begun is lost, and one that arrives late hits the
next request. kernelfleet's own kernel is therefore told which request is meant. Any other kernel
gets no further request until it is certain that the interrupt has been dealt with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.engines.in_flight import InFlight, PortableInFlight
from kernelfleet.controller.lifecycle.launcher import Launcher
from kernelfleet.controller.timing import (
    BEGIN_SECONDS,
    NAMED_INTERRUPT_SECONDS,
    NAMED_INTERRUPTS,
    RESPONSE_SECONDS,
    SECOND_SIGNAL_SECONDS,
)
from kernelfleet.wire.operations import message_type

#: ipykernel 7.4 notices SIGINT in a cell that awaits only when its loop wakes up, so a message is
#: sent this often.
NUDGE_SECONDS = 0.1


# Why a queue is held.
INTERRUPTED = "an interrupt is not over yet"


async def interrupt(
    engine: Engine,
    run: InFlight | None,
    launcher: Launcher,
    spawn: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    """Interrupt this request of an engine; does nothing if it has ended meanwhile."""
    if run is None or engine.run is not run:
        return
    engine.queue.interrupted()
    if await _interrupt_by_name(engine, run):
        return
    await _begun(run)
    if engine.run is not run or engine.incarnation is None:
        return
    await _signal(engine, launcher)
    if not engine.native:
        spawn(_hold_until_over(engine))
        spawn(_signal_again(engine, run, launcher))


async def over(
    working: Sequence[tuple[Engine, InFlight]], seconds: float = RESPONSE_SECONDS
) -> None:
    """Wait until engines have ended these requests, at most for some seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    # Polling: an engine has no event for the end of a request, and interrupts are rare.
    while any(engine.run is run for engine, run in working) and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(NUDGE_SECONDS / 20)


async def _interrupt_by_name(engine: Engine, run: InFlight) -> bool:
    """Have kernelfleet's own kernel interrupt this request, whether its code has begun or not.

    Returns:
        False if the kernel is another one, or did not answer because C code holds its GIL; such
        code may still respond to a signal.
    """
    for _ in range(NAMED_INTERRUPTS):
        if not engine.native or engine.run is not run:
            return engine.native
        content: dict[str, Any] = {"msg_id": run.msg_id}
        if engine.incarnation is not None and engine.incarnation.pid is not None:
            content["until"] = time.monotonic() + NAMED_INTERRUPT_SECONDS
        asked = engine.ask("control", message_type("interrupt"), content)
        done, _ = await asyncio.wait([asked], timeout=NAMED_INTERRUPT_SECONDS)
        if not done:
            asked.cancel()
            return False
        if asked.exception() is not None:
            return False
        if asked.result().content.get("status") == "ok":
            return True
        # It was too late for that: on a busy machine the answer may come as late as this finds out.
    return False


async def _begun(run: InFlight) -> None:
    """Wait until a foreign kernel has reported that it works on the request, within bounds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BEGIN_SECONDS
    # Polling: a request in flight has no event for it, and interrupts are rare.
    while isinstance(run, PortableInFlight) and not run.begun and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(NUDGE_SECONDS / 10)


async def _signal(engine: Engine, launcher: Launcher) -> None:
    assert engine.incarnation is not None
    if not await launcher.interrupt(engine.incarnation):
        engine.tell("control", "interrupt_request", {})


async def _signal_again(engine: Engine, run: InFlight, launcher: Launcher) -> None:
    """Send SIGINT again: Python notices one that came just before a system call only after it.

    (kernelfleet's own kernel deals with this itself; see engine/running/interrupts.py.)
    """
    await asyncio.sleep(SECOND_SIGNAL_SECONDS)
    if engine.run is run and engine.incarnation is not None:
        await _signal(engine, launcher)


async def _hold_until_over(engine: Engine) -> None:
    """After SIGINT to a foreign kernel: hold its queue until the interrupt is over.

    Its handler may run late and hit the next request. The interrupt may also have destroyed the
    reply: if the kernel answers a question that was queued behind the request and reports to be
    idle, the request has ended without one.
    """
    run = engine.run
    if run is None or INTERRUPTED in engine.queue.holds:
        return
    engine.queue.hold(INTERRUPTED)
    patience = NUDGE_SECONDS
    try:
        while engine.run is run:
            fence = engine.ask("shell", "kernel_info_request", {})
            done, _ = await asyncio.wait([fence], timeout=patience)
            patience = min(2 * patience, 5.0)
            if done and engine.run is run and isinstance(run, PortableInFlight) and run.idle:
                run.reply_lost = True
                engine.finish_if_complete()
        await engine.ask("shell", "kernel_info_request", {})
    except ConnectionError:
        return
    finally:
        engine.queue.release(INTERRUPTED)
        if engine.run is None:
            engine.start_next()
