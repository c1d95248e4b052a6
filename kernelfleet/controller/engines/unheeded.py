"""Why engines go on after an interrupt, in words for the user.

Compiled code that does not ask Python for signals cannot be interrupted: a long call of LAPACK, a
blocking call of MPI. Whoever has pressed the stop button is to learn within two seconds which call
it is on which engine, and what ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.processes.local import is_stopped
from kernelfleet.errors.text import format_ids
from kernelfleet.wire.operations import message_type

#: How long an engine may take to say which call it is in.
ANSWER_SECONDS = 0.2

#: In the place of an answer.
SILENT = "a call that holds Python's lock"
STOPPED = "a process that is stopped (SIGCONT lets it go on)"


async def why_unheeded(engines: Collection[Engine], *, is_world: bool) -> str:
    """Which calls these engines are in, and how they can be ended.

    Args:
        engines: Those that still work on what was interrupted.
        is_world: Whether they are ranks of an MPI world.
    """
    places = await asyncio.gather(*map(_place, engines))
    return text({e.id: place for e, place in zip(engines, places, strict=True)}, is_world=is_world)


async def _place(engine: Engine) -> str:
    if not engine.native:
        return ""
    asked = engine.ask("control", message_type("peek"), {"where": True})
    done, _ = await asyncio.wait([asked], timeout=ANSWER_SECONDS)
    if not done:
        asked.cancel()
        pid = None if engine.incarnation is None else engine.incarnation.pid
        return STOPPED if is_stopped(pid) else SILENT
    if asked.cancelled() or asked.exception() is not None:
        return ""
    return str(asked.result().content.get("where") or "")


def text(places: Mapping[int, str], *, is_world: bool) -> str:
    """What is said of engines that go on; empty if there are none."""
    if not places:
        return ""
    together: dict[str, list[int]] = {}
    for engine_id, place in places.items():
        together.setdefault(place, []).append(engine_id)
    each = [
        f"{format_ids(ids)} in {place}" if place else format_ids(ids)
        for place, ids in together.items()
    ]
    what = f"not stopped yet: {'; '.join(each)}"
    if is_world:
        return (
            f"{what}. A call of MPI that waits for other ranks heeds no interrupt: let them join "
            "it, or have a new world with mec.restart('all') (%fleet restart)"
        )
    return f"{what}. Compiled code may heed no interrupt: mec.restart({sorted(places)}) ends it"
