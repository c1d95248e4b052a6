"""The debugger, imported on the first debug_request instead of at start (60 ms and 6 MB)."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from typing import Any


@cache
def is_installed() -> bool:
    """Tell whether debugpy could be imported, without importing it."""
    return importlib.util.find_spec("debugpy") is not None


def create_debugger(kernel: Any) -> Any:
    """Make the debugger that ``IPythonKernel.__init__`` of ipykernel 7.4 would have made.

    ipykernel decides while its module is imported whether there is a debugger, so the module is
    imported anew. Returns None if there is none.
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
