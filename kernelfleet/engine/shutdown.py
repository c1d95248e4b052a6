"""How an engine ends: promptly, with its exit code, not later than its parent, leaving no process.

The *watchdog* is a thread that ends the process after a time limit, whatever the main thread does.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from kernelfleet.wire import process_tags

_PR_SET_PDEATHSIG = 1
#: Time limit in seconds for the atexit functions of the user, and again for the last messages.
_GRACE = 1.0


def die_with_parent(parent_pid: int) -> None:
    """Let Linux kill this process when its parent dies, even while C code holds the GIL."""
    if not parent_pid or parent_pid == 1 or not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        try:
            os.kill(parent_pid, 0)  # alive: a wrapper process is between it and this one
        except ProcessLookupError:
            os._exit(1)
        except PermissionError:
            pass


def hold_process_tag() -> None:
    """Open the memfd of the process tag: children that this process forks inherit it."""
    name = process_tags.file_name(os.environ)
    if name is not None and hasattr(os, "memfd_create"):
        with suppress(OSError):
            os.memfd_create(name)  # never closed


def watchdog(
    seconds: float,
    code: int,
    last: Callable[[], None] | None = None,
    unless: threading.Event | None = None,
) -> None:
    """End the process after a time limit, whatever it does then.

    Args:
        seconds: The time limit.
        code: The exit code.
        last: Called before the process ends; it has ``_GRACE`` seconds.
        unless: When this event is set, the process is not ended.
    """

    def wait() -> None:
        if unless is None:
            time.sleep(seconds)
        elif unless.wait(seconds):
            return
        if last is not None:
            watchdog(_GRACE, code)
            with suppress(BaseException):
                last()
        os._exit(code)

    threading.Thread(target=wait, name="Watchdog", daemon=True).start()


def leave(code: int, deliver: Callable[[], None]) -> None:
    """Run the atexit functions, call ``deliver``, end the process. Each step has a time limit."""
    lock = threading.Lock()

    def deliver_once() -> None:
        if lock.acquire(blocking=False):
            with suppress(BaseException):
                _end_pool_workers()
            deliver()
            os._exit(code)
        time.sleep(_GRACE)

    watchdog(_GRACE, code, deliver_once)
    with suppress(BaseException):
        atexit._run_exitfuncs()
    watchdog(_GRACE, code)
    with suppress(BaseException):
        deliver_once()
    os._exit(code)


def _end_pool_workers() -> None:
    """Kill children of multiprocessing: without their parent they would wait for work for ever."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for process in multiprocessing.active_children():
            process.kill()
