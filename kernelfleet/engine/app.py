"""EngineApp: ipykernel's application, lean, private, and gone when it says so.

What is switched off or replaced was measured; each override names the reason. Everything
happens in methods, so that a forked child can create the application.
"""

# mypy: allow-untyped-calls
# ipykernel's and IPython's methods are untyped

from __future__ import annotations

import atexit
import faulthandler
import os
import sys
import threading
from contextlib import suppress
from typing import Any

import zmq
from ipykernel.kernelapp import IPKernelApp
from tornado import ioloop
from traitlets import Bool, DottedObjectName, Int, Type
from traitlets.config import Config

from kernelfleet.engine import own_libraries, packing, shutdown
from kernelfleet.engine.kernel import EngineKernel
from kernelfleet.engine.output import bars
from kernelfleet.engine.output.iopub import (
    CountingIOPubThread,
    EngineStream,
)
from kernelfleet.engine.output.output_log import OutputLog
from kernelfleet.engine.output.rate_limit import (
    DEFAULT_BYTES,
    OutputRateLimit,
)
from kernelfleet.engine.running import interrupts


class NoShellChannelThread:
    """Stands in for ipykernel's shell channel thread, which costs 1 ms a request.

    False, so that ipykernel 7.4 reads the shell socket in the main thread; never None, because
    its do_execute asks for ``parent_thread`` when a cell awaits.
    """

    def __init__(self) -> None:
        self.parent_thread = threading.main_thread()

    def __bool__(self) -> bool:
        return False


class EngineApp(IPKernelApp):
    """Runs one engine."""

    name = "kernelfleet-engine"
    description = "One engine of a kernelfleet; started by the fleet, not by hand."

    kernel_class = Type(  # type: ignore[assignment]
        EngineKernel, klass="ipykernel.kernelbase.Kernel"
    ).tag(config=True)
    outstream_class = DottedObjectName("kernelfleet.engine.output.iopub.EngineStream").tag(
        config=True
    )

    output_limit_bytes = Int(
        DEFAULT_BYTES,
        min=1,
        help="How much a command may put out; see engine/output/rate_limit.py.",
    ).tag(config=True)

    out_limit_bytes = Int(
        None, min=0, allow_none=True, help="How much Out may keep; see engine/values.py."
    ).tag(config=True)

    log_output = Bool(False, help="Write what is printed to the engine's log as well.").tag(
        config=True
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._leaving = threading.Event()

    def initialize(self, argv: list[str] | None = None) -> None:
        """Set the engine up; the command line wins over the lean defaults."""
        shutdown.die_with_parent(self.parent_handle)
        shutdown.hold_process_tag()
        bars.show_as_text()
        self.update_config(
            Config(
                {
                    # sqlite is shared by all kernels and blocks
                    "HistoryManager": {"enabled": False},
                    "InteractiveShell": {"enable_tip": False},
                    # jedi 0.20 reads stub files for the first completion: 37 MB in each engine
                    # that completes. IPython's own completer looks at the objects that are there.
                    "Completer": {"use_jedi": False},
                }
            )
        )
        hidden = "debugpy" not in sys.modules
        if hidden:
            # importing it costs 60 ms and 6 MB; ipykernel 7.4 has no switch
            sys.modules["debugpy"] = None  # type: ignore[assignment]
        try:
            super().initialize(argv)
        finally:
            if hidden:
                del sys.modules["debugpy"]

    def init_profile_dir(self) -> None:
        """Make the private IPython directory, whose creation IPython 9.18 leaves to others."""
        before = os.umask(0o077)  # the user's own is for what his code makes
        try:
            os.makedirs(self.ipython_dir, exist_ok=True)
            super().init_profile_dir()
        finally:
            os.umask(before)

    def init_path(self) -> None:
        """Let the user's code find what is in his folder, but nothing of ours."""
        own_libraries.hold()
        super().init_path()

    def init_kernel(self) -> None:
        """Give the shell the private directory too; IPython 9.18 asks the environment only."""
        before = os.environ.get("IPYTHONDIR")
        os.environ["IPYTHONDIR"] = self.ipython_dir
        try:
            super().init_kernel()
        finally:
            if before is None:
                del os.environ["IPYTHONDIR"]
            else:
                os.environ["IPYTHONDIR"] = before

    def init_control(self, context: Any) -> None:
        """Do without the shell channel thread that ipykernel creates here."""
        super().init_control(context)
        self.shell_channel_thread = NoShellChannelThread()

    def init_iopub(self, context: Any) -> None:
        """As ipykernel's, but lossless, and with a thread that counts."""
        packing.keep_own_json()
        self.session.pack = packing.lenient(self.session.pack)  # it is not used before
        socket = self.iopub_socket = context.socket(zmq.XPUB)
        socket.linger = 1000
        socket.sndhwm = 0  # by default 100,000 lines lose some
        self._apply_curve_server_options(socket)
        self.iopub_port = self._bind_socket(socket, self.iopub_port)
        self.configure_tornado_logger()
        limit = OutputRateLimit(self.output_limit_bytes)
        self.iopub_thread = CountingIOPubThread(socket, self.session, self._fork_pipe_path(), limit)
        self.iopub_thread.start()
        self.iopub_socket = self.iopub_thread.background_socket

    def _fork_pipe_path(self) -> str:
        return f"{self.abs_connection_file}-forks"

    def patch_io(self) -> None:
        """Write where a crash happens into the log.

        ipykernel 7.4 has faulthandler write into the pipe that this very process reads.
        """
        if not hasattr(sys.stderr, "_original_stdstream_copy"):
            super().patch_io()  # the descriptor is not captured
        faulthandler.enable()
        if self.log_output:
            copy = getattr(sys.stderr, "_original_stdstream_copy", None)
            log = OutputLog(sys.__stderr__.fileno() if copy is None else copy)  # type: ignore[union-attr]
            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, EngineStream):
                    stream.log = log

    def log_connection_info(self) -> None:
        """As a kernel that has a parent: others print advice, which on a full disk is the end."""
        handle = self.parent_handle
        self.parent_handle = handle or 1
        try:
            super().log_connection_info()
        finally:
            self.parent_handle = handle

    def init_signal(self) -> None:
        """Ignore SIGINT outside user code, but not in children."""
        interrupts.install()

    def start(self) -> None:
        """Run until told to leave; an interrupt never ends the loop."""
        if self.subapp is not None:
            self.subapp.start()
            return
        if self.poller is not None:
            self.poller.start()
        self.kernel.start()
        self.io_loop = ioloop.IOLoop.current()
        while True:
            try:
                self.io_loop.start()
                break
            except KeyboardInterrupt:
                continue
        self.leave(0)

    def leave_soon(self) -> None:
        """End the process from any thread, interrupting the user's code."""
        shutdown.watchdog(1.0, 0, unless=self._leaving)
        self.kernel.io_loop.add_callback(self.kernel.io_loop.stop)
        interrupts.raise_in_main_thread()

    def leave(self, code: int) -> None:
        """End the process now: what is printed or replied goes out, nothing is waited for."""
        self._leaving.set()
        atexit.unregister(self.close)  # it can wait for threads that wait for it
        atexit.unregister(self.iopub_thread.stop)
        shutdown.leave(code, self._deliver)

    def _deliver(self) -> None:
        """Send what is queued."""
        for name in ("stdout", "stderr"):
            with suppress(Exception):  # the user may have put anything there
                getattr(sys, name).flush()
        self.iopub_thread.stop()
        if self.control_thread is not threading.current_thread():
            self.control_thread.stop()
            self.control_thread.join(timeout=0.3)
        self.cleanup_ipc_files()  # libzmq leaves them
        with suppress(FileNotFoundError):
            os.unlink(self._fork_pipe_path())
        if self.context is not None:
            self.context.destroy(linger=300)
