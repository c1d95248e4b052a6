"""interrupting.py: what is interrupted is what was meant, and nothing that came after it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from kernelfleet.controller.interrupting import interrupt


def test_a_request_that_has_ended_meanwhile_costs_the_next_one_nothing() -> None:
    asked: list[Any] = []

    async def decide_and_be_late() -> None:
        engine: Any = SimpleNamespace(
            native=True, incarnation=None, run=object(), ask=lambda *what: asked.append(what)
        )
        late = interrupt(engine, engine.run, launcher=asked, spawn=asked.append)  # type: ignore[arg-type]
        engine.run = object()  # the next one
        await late
        await interrupt(engine, None, launcher=asked, spawn=asked.append)  # type: ignore[arg-type]

    asyncio.run(decide_and_be_late())
    assert asked == []
