"""The debugger, imported on the first debug_request instead of at start (60 ms and 6 MB)."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from typing import Any


@cache
def is_installed() -> bool:
    """Tell whether debugpy can be imported, without importing it."""
    return importlib.util.find_spec("debugpy") is not None


def create_debugger(kernel: Any) -> Any:
    """Make the debugger that ``IPythonKernel.__init__`` of ipykernel 7.4 makes at start.

    ``ipykernel.debugger`` finds out when it is imported whether debugpy is there, so it is
    imported again. This can go when ipykernel makes its debugger on demand:
    https://github.com/ipython/ipykernel/pull/1543

    Returns:
        The debugger, or None if debugpy is not installed.
    """
    if not is_installed():
        return None
    sys.modules.pop("ipykernel.debugger", None)
    module = importlib.import_module("ipykernel.debugger")
    if not module._is_debugpy_available:
        return None
    return module.Debugger(
        kernel.log,
        kernel.debugpy_stream,
        kernel._publish_debug_event,
        kernel.debug_shell_socket,
        kernel.session,
        kernel._kernel_modules,
        kernel.debug_just_my_code,
        kernel.filter_internal_frames,
    )
