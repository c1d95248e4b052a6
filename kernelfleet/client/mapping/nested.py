"""Items of a call that are run by the process that waits for it.

Code that runs on an engine may be a client of the same fleet: a mapped function that maps, a task
that submits tasks. While it waits, its engine can do nothing else. The waiting thread then runs
items of the call itself, as an engine would. What only the waiting engine could do would never be
done, and is refused at once (``client/results/own_engine.py``).
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from kernelfleet.client.results.replies import Reply
from kernelfleet.errors.tree import UnsupportedOperation
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.serialize import pack, unpack


def would_wait_for_itself(own: int) -> UnsupportedOperation:
    """Why tasks fail that were submitted on an engine, and that it cannot run itself meanwhile."""
    return UnsupportedOperation(
        f"this task was submitted by code on engine {own}, and all engines that could run it are "
        f"at work; engine {own} runs tasks while it waits for them, but none with a timeout= or "
        f"with properties that it has not"
    )


def run_here(frames: Sequence[Any]) -> Future[Reply]:
    """Run a batch in this thread, as its engine would, and give the reply that would have come."""
    reply: Future[Reply] = Future()
    started = time.time()
    function, args, kwargs = unpack(frames)
    try:
        packed = function(*args, **kwargs)
        if inspect.iscoroutine(packed):
            packed = asyncio.run(packed)
    except Exception as error:  # noqa: BLE001 (described as an engine would describe it)
        described = {"ename": type(error).__name__, "evalue": str(error), "kind": "user"}
        result: JsonDict = {"ok": False, "error": described}
        reply.set_result(Reply({"results": [result]}, []))
        return reply
    answer = list(pack(packed))
    times = {"started": started, "completed": time.time()}
    reply.set_result(Reply({"results": [{"ok": True, "buffers": len(answer), **times}]}, answer))
    return reply
