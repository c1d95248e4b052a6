"""Interrupting what an engine runs: our own kernels by the request's name, others by a signal.

A bare SIGINT that comes before the code is lost, and one that comes late hits the next request.
Our kernels are therefore told which request is meant. With any other kernel nothing is sent until
it is certain that the interrupt is over.
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
    RESPONSE_SECONDS,
    SECOND_SIGNAL_SECONDS,
)

#: An await cell of ipykernel 7.4 notices SIGINT only when its loop wakes; knock this often.
NUDGE_SECONDS = 0.1


# Why a queue is held.
INTERRUPTED = "an interrupt is being settled"


async def interrupt(
    engine: Engine,
    run: InFlight | None,
    launcher: Launcher,
    spawn: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    """Interrupt what the engine ran when it was decided; nothing if that is over."""
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
        spawn(_settle(engine))
        spawn(_insist(engine, run, launcher))


async def over(
    working: Sequence[tuple[Engine, InFlight]], seconds: float = RESPONSE_SECONDS
) -> None:
    """Wait a while until engines have ended what they ran."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    # An engine tells nobody that it has gone on, and this is rare.
    while any(engine.run is run for engine, run in working) and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(NUDGE_SECONDS / 20)


async def _interrupt_by_name(engine: Engine, run: InFlight) -> bool:
    """Have our own kernel interrupt this very request, whether its code has begun or not.

    Returns:
        False where the kernel is not ours, or holds its GIL: some C code heeds a signal then.
    """
    if not engine.native:
        return False
    content: dict[str, Any] = {"msg_id": run.msg_id}
    if engine.incarnation is not None and engine.incarnation.pid is not None:
        content["until"] = time.monotonic() + NAMED_INTERRUPT_SECONDS
    asked = engine.ask("control", "fleet_interrupt_request", content)
    done, _ = await asyncio.wait([asked], timeout=NAMED_INTERRUPT_SECONDS)
    if not done:
        asked.cancel()
    return bool(done) and asked.exception() is None


async def _begun(run: InFlight) -> None:
    """Wait a while until a kernel that is not ours says that it works on the request."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BEGIN_SECONDS
    # A Run knows no asyncio, and this is rare.
    while isinstance(run, PortableInFlight) and not run.begun and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(NUDGE_SECONDS / 10)


async def _signal(engine: Engine, launcher: Launcher) -> None:
    assert engine.incarnation is not None
    if not await launcher.interrupt(engine.incarnation):
        engine.tell("control", "interrupt_request", {})


async def _insist(engine: Engine, run: InFlight, launcher: Launcher) -> None:
    """Signal once more: a SIGINT just before a system call is noticed only after it.

    (Our own kernels are nudged out of the call; see engine/running/interrupts.py.)
    """
    await asyncio.sleep(SECOND_SIGNAL_SECONDS)
    if engine.run is run and engine.incarnation is not None:
        await _signal(engine, launcher)


async def _settle(engine: Engine) -> None:
    """After SIGINT to a kernel that is not ours: nothing is sent until it is over.

    Its handler may take the signal late and hit the next request; and a request whose reply
    was eaten is told from one still running by asking something behind it.
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
