"""Calls of a fleet that are made on one of its own engines.

Code that runs on an engine may be a client of the same fleet: a mapped function that maps, a task
that submits tasks. While it waits, its engine can do nothing else. The waiting thread then runs
items of the call itself, as an engine would. What only the waiting engine could do would never be
done, and is refused at once.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from kernelfleet.client.frontend import is_notebook, running_shell
from kernelfleet.client.results.replies import Reply
from kernelfleet.errors.tree import FleetError, UnsupportedOperation
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects.serialize import pack, unpack
from kernelfleet.wire.process_tags import own_mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelfleet.client.controller_proxy import ControllerProxy


#: What a ``ControllerProxy`` has as ``own_engine`` in a process that is none.
NO_ENGINE = (None,)
#: How long the controller may take to say which engine this is.
ASK_SECONDS = 5.0


def own_engine(connection: ControllerProxy) -> int | None:
    """The id of the engine of this very fleet that this process is; None elsewhere.

    A process that an engine has started is not that engine: it may outlive the call.
    """
    if connection.own_engine == NO_ENGINE:
        return None
    mark = own_mark(os.environ)
    if mark is None:
        connection.own_engine = NO_ENGINE  # a process keeps the mark that it has, or has not
        return None
    if not is_notebook(running_shell()):
        return None
    if connection.own_engine is None:
        try:
            reply = connection.call("locate", ASK_SECONDS, mark=mark)
        except (TimeoutError, FleetError):
            return None  # the controller does not answer, or is of an earlier version
        value = reply.header["value"]
        is_it = value["engine"] is not None and value["pid"] in (None, os.getpid())
        connection.own_engine = (value["engine"] if is_it else None,)
    return connection.own_engine[0]


def refuse_to_wait_for_itself(
    connection: ControllerProxy, targets: Sequence[int], method: str
) -> None:
    """Refuse what would wait for ever: the main thread of an engine waiting for that engine.

    Raises:
        UnsupportedOperation: it is so; the message names the reason and what can be done.
    """
    if (
        connection.own_engine == NO_ENGINE
        or threading.current_thread() is not threading.main_thread()
    ):
        return
    own = own_engine(connection)
    if own is not None and own in targets:
        raise UnsupportedOperation(
            f"this code runs on engine {own} of the fleet {connection.fleet.get('name')!r}, and "
            f"{method} would wait for that engine, which can do nothing until this code has "
            f"ended: name other targets, or do not wait for the result (block=False). "
            f"map and an executor's tasks may be waited for"
        )


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
