"""``python -m benchmarks.peers.lean_kernel -f FILE``: ipykernel with all that can go switched off.

The floor of the comparison: what ``execute_request`` costs in a kernel that is not ours.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import sys
import threading
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from traitlets.config import Config


class _NoThread:
    """In place of the shell channel thread (ipykernel 7), which costs a millisecond a request."""

    def __init__(self) -> None:
        self.parent_thread = threading.main_thread()

    def __bool__(self) -> bool:
        return False


class LeanKernel(IPythonKernel):
    """Has no subshells, which need that thread."""

    _supports_kernel_subshells = False


class LeanKernelApp(IPKernelApp):
    """No history, no debugger, no shell channel thread, no pause after each cell."""

    def initialize(self, argv: list[str] | None = None) -> None:
        self.kernel_class = LeanKernel
        lean = {"HistoryManager": {"enabled": False}, "Kernel": {"_execute_sleep": 0}}
        self.update_config(Config(lean))
        sys.modules["debugpy"] = None  # type: ignore[assignment]
        super().initialize(argv)

    def init_control(self, context: Any) -> None:
        super().init_control(context)
        self.shell_channel_thread = _NoThread()


if __name__ == "__main__":
    LeanKernelApp.launch_instance()
