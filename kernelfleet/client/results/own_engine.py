"""Which engine of its fleet this process is, and waiting that would never end there.

Code that runs on an engine may be a client of the same fleet. While it waits, its engine can do
nothing else; so what only that engine could do would never be done, and is refused at once.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from kernelfleet.client.frontend import is_notebook, running_shell
from kernelfleet.errors.tree import FleetError, UnsupportedOperation
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
