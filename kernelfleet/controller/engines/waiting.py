"""What is awaited of an engine beside its queue: replies to single messages, an empty queue."""

from __future__ import annotations

import asyncio
from typing import Any

from kernelfleet.wire.jupyter import KernelMessage


class AwaitedReplies:
    """Replies that somebody waits for, on any channel, by the id of the message they answer."""

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[KernelMessage]] = {}

    def __len__(self) -> int:
        return len(self._futures)

    def expect(self, msg_id: str) -> asyncio.Future[KernelMessage]:
        """A future of the reply to this message; if it is cancelled, nobody waits any more."""
        future: asyncio.Future[KernelMessage] = asyncio.get_running_loop().create_future()
        self._futures[msg_id] = future
        future.add_done_callback(lambda _: self._futures.pop(msg_id, None))
        return future

    def take(self, message: KernelMessage) -> bool:
        """Hand a message to whoever waits for it; whether somebody did."""
        future = self._futures.pop(message.parent_id, None)
        if future is not None and not future.done():
            future.set_result(message)
        return future is not None

    def fail(self, error: Exception) -> None:
        """No reply will come any more."""
        for future in list(self._futures.values()):
            fail_quietly(future, error)
        self._futures.clear()


def failed(error: Exception) -> asyncio.Future[KernelMessage]:
    """A future of a reply that will not come."""
    future: asyncio.Future[KernelMessage] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


class Drain:
    """Those who wait until an engine has nothing left to do."""

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Return when the engine has next nothing to do."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        await future

    def is_over(self) -> None:
        """The engine has nothing left to do."""
        futures, self._futures = self._futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)


def fail_quietly(future: asyncio.Future[Any], error: Exception) -> None:
    """Fail a future; asyncio does not complain if nobody waits for it."""
    if not future.done():
        future.set_exception(error)
        future.exception()
