"""How an engine ends: promptly, with its exit code, never after its parent, nothing left behind."""

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
#: The user's atexit functions have this long, and the last messages as well.
_GRACE = 1.0


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies, also while C code holds the GIL."""
    if not parent_pid or parent_pid == 1 or not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        try:
            os.kill(parent_pid, 0)  # a wrapper may stand between us
        except ProcessLookupError:
            os._exit(1)
        except PermissionError:
            pass


def hold_process_tag() -> None:
    """Hold the file by which the controller knows processes forked from this one."""
    name = process_tags.file_name(os.environ)
    if name is not None and hasattr(os, "memfd_create"):
        with suppress(OSError):
            os.memfd_create(name)  # open as long as the engine lives


def watchdog(
    seconds: float,
    code: int,
    last: Callable[[], None] | None = None,
    unless: threading.Event | None = None,
) -> None:
    """End the process after a while, whatever it does by then.

    Args:
        seconds: The while.
        code: Exit code.
        last: Called before the end.
        unless: Set when somebody else sees to the end.
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
    """Run the atexit functions, deliver, and end the process; all of it within bounds."""
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
    """End processes of multiprocessing, which wait for work for ever when nobody joins them."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for process in multiprocessing.active_children():
            process.kill()
