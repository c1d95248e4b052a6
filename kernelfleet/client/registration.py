"""Waiting until a fleet has enough engines."""

from __future__ import annotations

import contextlib
import queue
import time
from typing import TYPE_CHECKING

from kernelfleet.client.targets import check_count, time_left
from kernelfleet.errors.tree import CallTimeout
from kernelfleet.session import ctrl_c

if TYPE_CHECKING:
    from kernelfleet.client.controller_proxy import ControllerProxy


def wait_for_engines(connection: ControllerProxy, n: int, timeout: float | None) -> None:
    """Return when at least ``n`` engines are registered; see ``MultiEngineClient``."""
    n = check_count(n, 0, "a number of engines is 0 or more")
    seconds = time_left(timeout)
    deadline = None if seconds is None else time.monotonic() + seconds
    if seconds != 0:
        with contextlib.suppress(TimeoutError):  # reported below
            connection.call("ping", seconds)  # so that the engines known are those of now
    changes: queue.SimpleQueue[None] = queue.SimpleQueue()
    stop_listening = connection.when_changed(lambda: changes.put(None))
    try:
        with ctrl_c.kept():
            while len(connection.roster.ids) < n:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if left == 0.0:
                    raise CallTimeout(_too_few(connection, n, seconds))
                if not connection.is_open:
                    connection.call("ping")  # raises, and says why
                try:
                    ctrl_c.get_from(changes, left)
                except queue.Empty:
                    continue
    finally:
        stop_listening()


def _too_few(connection: ControllerProxy, n: int, seconds: float | None) -> str:
    here = len(connection.roster.ids)
    return (
        f"{here} of {n} engines are there after {seconds:g} s; "
        f"mec.scale({n}) starts more, mec.engines() shows what each one does"
    )
