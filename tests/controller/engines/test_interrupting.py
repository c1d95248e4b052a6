"""interrupting.py: what is interrupted is what was meant, and nothing that came after it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from kernelfleet.controller.engines.interrupting import interrupt, over
from kernelfleet.controller.timing import NAMED_INTERRUPTS


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


def test_an_interrupt_that_the_kernel_read_too_late_is_asked_for_again_and_not_taken_for_done() -> (
    None
):
    asked: list[float] = []

    async def interrupt_a_busy_engine() -> None:
        def ask(channel: str, msg_type: str, content: dict[str, Any]) -> asyncio.Future[Any]:
            del channel, msg_type
            asked.append(content["until"])
            answer = asyncio.get_running_loop().create_future()
            status = "ok" if len(asked) == 3 else "aborted"
            answer.set_result(SimpleNamespace(content={"status": status}))
            return answer

        engine: Any = SimpleNamespace(
            native=True, incarnation=SimpleNamespace(pid=1), queue=SimpleNamespace(),
            run=SimpleNamespace(msg_id="id"), ask=ask,
        )  # fmt: skip
        engine.queue.interrupted = lambda: None
        never: Any = None  # there is nobody to send a signal
        await interrupt(engine, engine.run, launcher=never, spawn=never)

    asyncio.run(interrupt_a_busy_engine())
    assert len(asked) == 3
    assert asked == sorted(asked)


def test_an_engine_that_always_says_it_was_asked_too_late_gets_a_signal() -> None:
    asked: list[str] = []
    signalled: list[Any] = []

    async def interrupt_it() -> None:
        def ask(channel: str, msg_type: str, content: dict[str, Any]) -> asyncio.Future[Any]:
            del channel, content
            asked.append(msg_type)
            answer = asyncio.get_running_loop().create_future()
            answer.set_result(SimpleNamespace(content={}))
            return answer

        async def send_signal(incarnation: Any) -> bool:
            signalled.append(incarnation)
            return True

        engine: Any = SimpleNamespace(
            native=True, incarnation=SimpleNamespace(pid=1), queue=SimpleNamespace(),
            run=SimpleNamespace(msg_id="id"), ask=ask,
        )  # fmt: skip
        engine.queue.interrupted = lambda: None
        launcher: Any = SimpleNamespace(interrupt=send_signal)
        await interrupt(engine, engine.run, launcher=launcher, spawn=asked.append)  # type: ignore[arg-type]

    asyncio.run(interrupt_it())
    assert len(asked) == NAMED_INTERRUPTS
    assert len(signalled) == 1


def test_who_interrupts_waits_for_the_end_of_what_ran_but_not_for_ever() -> None:
    async def wait() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        heeds: Any = SimpleNamespace(run=object())
        deaf: Any = SimpleNamespace(run=object())
        loop.call_later(0.02, setattr, heeds, "run", object())
        began = loop.time()
        await over([(heeds, heeds.run)], seconds=60)
        heeded = loop.time()
        await over([(deaf, deaf.run)], seconds=0.02)
        return heeded - began, loop.time() - heeded

    heeded, gave_up = asyncio.run(wait())
    assert heeded < 30
    assert 0.02 <= gave_up < 30
