from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from kernelfleet.controller.engines.waiting import AwaitedReplies, Drain


def reply_to(msg_id: str) -> Any:
    return SimpleNamespace(parent_id=msg_id)


def test_a_reply_goes_to_whoever_waits_for_it_once() -> None:
    async def test() -> None:
        awaited = AwaitedReplies()
        future = awaited.expect("a")
        assert not awaited.take(reply_to("b"))
        message = reply_to("a")
        assert awaited.take(message)
        assert await future is message
        assert not awaited.take(message)

    asyncio.run(test())


def test_a_reply_that_nobody_waits_for_any_more_is_forgotten() -> None:
    async def test() -> None:
        awaited = AwaitedReplies()
        awaited.expect("a").cancel()
        await asyncio.sleep(0)
        assert len(awaited) == 0

    asyncio.run(test())


def test_whoever_waits_hears_that_no_reply_will_come_and_nobody_else_complains() -> None:
    async def test() -> None:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context)
        )
        awaited = AwaitedReplies()
        future = awaited.expect("a")
        awaited.expect("b")  # nobody looks at it
        awaited.fail(ConnectionError("engine 0: it died"))
        with pytest.raises(ConnectionError, match="it died"):
            await future
        assert len(awaited) == 0
        del future
        await asyncio.sleep(0)
        assert complaints == []

    asyncio.run(test())


def test_all_who_wait_for_an_engine_to_be_drained_go_on_together() -> None:
    async def test() -> None:
        drain = Drain()
        waiting = [asyncio.ensure_future(drain.wait()) for _ in range(2)]
        given_up = asyncio.ensure_future(drain.wait())
        await asyncio.sleep(0)
        given_up.cancel()
        drain.is_over()
        await asyncio.gather(*waiting)
        drain.is_over()

    asyncio.run(test())
