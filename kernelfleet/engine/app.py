"""EngineApp: ipykernel's application with a fast start, private files, and a prompt end.

Each override says what it replaces and why; the costs named were measured. Nothing happens when
the module is imported, so that a child of the fork server can create the application.
"""

# mypy: allow-untyped-calls
# ipykernel's and IPython's methods are untyped

from __future__ import annotations

import atexit
import faulthandler
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import zmq
from ipykernel.kernelapp import IPKernelApp
from tornado import ioloop
from traitlets import Bool, DottedObjectName, Int, Type
from traitlets.config import Config

from kernelfleet.engine import mpi, own_libraries, packing, shutdown
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
    """Takes the place of ipykernel's shell channel thread, which costs 1 ms per request.

    ipykernel 7 has the thread for subshells (https://github.com/ipython/ipykernel/issues/1438),
    which engines do not use. The object is false, so that ipykernel 7.4 reads the shell socket in
    the main thread. It is not None, because ``do_execute`` reads ``parent_thread`` when a cell
    awaits. This can go when ipykernel can do without the thread.
    """

    def __init__(self) -> None:
        self.parent_thread = threading.main_thread()

    def __bool__(self) -> bool:
        return False


@contextmanager
def _without_debugger() -> Iterator[None]:
    """Keep ipykernel from importing debugpy, unless somebody has.

    Importing it costs 60 ms and 6 MB, and ipykernel 7.4 always does. This can go when it waits for
    the first debug request: https://github.com/ipython/ipykernel/pull/1543
    """
    if "debugpy" in sys.modules:
        yield
        return
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["debugpy"]


@contextmanager
def _private_files() -> Iterator[None]:
    """Set the umask for IPython's directories only: what the code makes has the user's."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


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
        help="Bytes that a command may put out; see engine/output/rate_limit.py.",
    ).tag(config=True)

    out_limit_bytes = Int(
        None, min=0, allow_none=True, help="Bytes that Out may keep; see engine/values.py."
    ).tag(config=True)

    log_output = Bool(False, help="Write what is printed to the engine's log as well.").tag(
        config=True
    )

    mpi_rank = Int(0, help="Which rank of an MPI world this engine is.").tag(config=True)
    mpi_size = Int(0, help="How many ranks that has; 0 if it is none.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._leaving = threading.Event()

    def initialize(self, argv: list[str] | None = None) -> None:
        """Set the engine up; the command line wins over the lean defaults."""
        self.begin()
        self.be_lean()
        with _without_debugger():
            super().initialize(argv)

    def begin(self) -> None:
        """Do what an engine does before anything else."""
        shutdown.die_with_parent(self.parent_handle)
        shutdown.hold_process_tag()
        bars.show_as_text()

    def be_lean(self) -> None:
        """Set the defaults in which an engine differs from a notebook's kernel."""
        self.update_config(
            Config(
                {
                    # All kernels of a user share one sqlite file and wait for its lock.
                    "HistoryManager": {"enabled": False},
                    "InteractiveShell": {"enable_tip": False},
                    # For its first completion jedi 0.20 reads stub files, which takes 37 MB in each
                    # engine. IPython's own completer looks at the objects.
                    "Completer": {"use_jedi": False},
                }
            )
        )

    def create_kernel(self) -> None:
        """Create the kernel and the shell without sockets, for ``prebuilt.py``."""
        with _without_debugger():
            kernel_class: Any = self.kernel_class
            self.kernel = kernel_class.instance(
                parent=self,
                session=self.session,
                log=self.log,
                profile_dir=self.profile_dir,
                user_ns=self.user_ns,
            )

    def init_profile_dir(self) -> None:
        """Make the private IPython directory; IPython 9.18 expects that it is there."""
        with _private_files():
            os.makedirs(self.ipython_dir, exist_ok=True)
            super().init_profile_dir()

    def set_ipython_dir(self, path: str) -> None:
        """Make the same directories for a profile that exists already, see ``prebuilt.py``."""
        profile: Any = self.profile_dir
        with _private_files():
            self.ipython_dir = path
            profile.location = os.path.join(path, "profile_default")

    def init_path(self) -> None:
        """Put the user's folder on the path, but load kernelfleet's libraries from elsewhere."""
        own_libraries.hold()
        super().init_path()

    def init_kernel(self) -> None:
        """Give the shell the private directory, too: IPython 9.18 reads the environment only."""
        if self.mpi_size:
            mpi.check_world(self.mpi_rank, self.mpi_size)
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
        """Open the iopub socket as ipykernel does, but without losing messages, and count them."""
        packing.keep_own_json()
        self.session.pack = packing.lenient(self.session.pack)  # no message is sent before
        socket = self.iopub_socket = context.socket(zmq.XPUB)
        socket.linger = 1000
        socket.sndhwm = 0  # with the default bound, printing 100,000 lines loses some
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
        """Let faulthandler write into the engine's log.

        ipykernel 7.4 lets it write into the pipe for stderr, which a crashed process no longer
        reads: see https://github.com/ipython/ipykernel/issues/91
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
        """Print nothing, as a kernel with a parent: on a full disk that would end the engine."""
        handle = self.parent_handle
        self.parent_handle = handle or 1
        try:
            super().log_connection_info()
        finally:
            self.parent_handle = handle

    def init_signal(self) -> None:
        """Ignore SIGINT outside user code. Children do not inherit that."""
        interrupts.install()

    def start(self) -> None:
        """Run until a request or the user's code ends the engine. An interrupt does not end it."""
        if self.subapp is not None:
            self.subapp.start()
            return
        if self.poller is not None:
            self.poller.start()
        self.kernel.start()
        self.io_loop = ioloop.IOLoop.current()
        while True:
            try:
                interrupts.install()
                self.kernel.answer_what_was_left()
                self.io_loop.start()
                break
            except KeyboardInterrupt:
                continue
        self.leave(0)

    def leave_soon(self) -> None:
        """End the process, called from any thread. The user's code is interrupted."""
        shutdown.watchdog(1.0, 0, unless=self._leaving)
        self.kernel.io_loop.add_callback(self.kernel.io_loop.stop)
        interrupts.raise_in_main_thread()

    def leave(self, code: int) -> None:
        """End the process now, after sending what is printed and replied."""
        self._leaving.set()
        atexit.unregister(self.close)  # could wait for threads that wait for it
        atexit.unregister(self.iopub_thread.stop)
        shutdown.leave(code, self._deliver)

    def _deliver(self) -> None:
        """Send what is queued."""
        for name in ("stdout", "stderr"):
            with suppress(Exception):  # the user may have replaced the stream
                getattr(sys, name).flush()
        self.iopub_thread.stop()
        if self.control_thread is not threading.current_thread():
            self.control_thread.stop()
            self.control_thread.join(timeout=0.3)
        self.cleanup_ipc_files()  # libzmq does not remove the files of Unix sockets
        with suppress(FileNotFoundError):
            os.unlink(self._fork_pipe_path())
        if self.context is not None:
            self.context.destroy(linger=300)
