"""What the engines of a fork server share: their modules, and an engine without identity.

``load`` imports what an engine imports on its way to, and during, its first commands.

Making IPython's shell, the kernel and the application takes most of the time of an engine's start
and, as every process has to itself what it makes, most of its memory. None of it needs a thread, a
socket or a name. ``build`` makes it in the fork server; ``launch`` completes it in the child, which
gets its own names, directories, environment, sockets and threads.

Nothing is built where IPython has configuration for the whole machine or a start-up file: those run
code, which each engine must run itself (``provisioners/kinds.py``).
"""

# mypy: allow-untyped-calls
# ipykernel's and IPython's methods are untyped

from __future__ import annotations

import atexit
import importlib
import json
import os
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from IPython.core.profiledir import ProfileDir
from zmq.eventloop.zmqstream import ZMQStream

from kernelfleet.engine.app import EngineApp
from kernelfleet.engine.running.tracebacks import render

_MODULES = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.debugger_backport",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "IPython.utils.wildcard",
    "argcomplete",
    "traitlets.config.argcomplete_config",
    "asttokens",
    "executing",
    "pure_eval",
    "stack_data",
    "pdb",
    "faulthandler",
    "runpy",
    "pygments.formatters.terminal256",
    "pygments.styles",
    "tornado.locks",
    "tornado.platform.asyncio",
    "tornado.queues",
    "unicodedata",
    "kernelfleet.engine.running.batches",
)

#: The options of an engine's command line (``controller/lifecycle/kernelspecs.py``): whose each is.
#: With any other option an engine is made in the ordinary way.
_OPTIONS: dict[str, Callable[[str], Any]] = {
    "Session.session": str,
    "IPKernelApp.ipython_dir": str,
    "EngineApp.output_limit_bytes": int,
    "EngineApp.out_limit_bytes": int,
    "EngineApp.log_output": "True".__eq__,
}


class _Built:
    """What ``build`` has made in this process or in the one that it was forked from."""

    app: EngineApp | None = None


def load() -> None:
    """Import the modules; those that another version of a library lacks are skipped."""
    for name in _MODULES:
        with suppress(ImportError):
            importlib.import_module(name)


def build() -> None:
    """Make the application, the kernel and the shell of an engine, in the fork server.

    Raises:
        RuntimeError: a thread was started, which the children would not have.
    """
    threads = threading.active_count()
    with tempfile.TemporaryDirectory() as folder, _nothing_changed():
        # IPython 9.18 makes its directory where it looks for it, which is that of the user.
        os.environ["IPYTHONDIR"] = folder
        app = EngineApp()
        app.be_lean()
        app.profile_dir = ProfileDir(parent=app)  # its place is set in the child
        app.init_pdb()
        app.create_kernel()
        app.init_shell()
        shell: Any = app.shell
        app.init_extensions()
        _show_an_error(shell)
        # What IPython does after its start-up files, of which there are none.
        shell.user_ns_hidden.update(shell.user_ns)
        shell._sys_modules_keys = set(sys.modules)
    atexit.unregister(shell.atexit_operations)
    for made in (shell, app.kernel):
        made.clear_instance()  # another kind of kernel may be forked, too
    if threading.active_count() > threads:
        raise RuntimeError("making a kernel has started a thread")
    _Built.app = app


def _show_an_error(shell: Any) -> None:
    """Render an error: the first one compiles what colours code, 20 ms and 3 MB in each engine."""
    try:
        exec("1 / 0", {})
    except ZeroDivisionError as error:
        list(render(shell, error))


@contextmanager
def _nothing_changed() -> Iterator[None]:
    """Restore what the making of a shell changes in its process."""
    environment, main, hook = dict(os.environ), sys.modules["__main__"], sys.excepthook
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        sys.modules["__main__"], sys.excepthook = main, hook


def launch() -> None:
    """Run an engine with the command line of this process, until it is told to go."""
    app, _Built.app = _Built.app, None
    argv = sys.argv[1:]
    given = None if app is None else _read(argv)
    if app is None or given is None:
        EngineApp.launch_instance(argv)
        return
    _complete(app, *given)
    app.start()


def _read(argv: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Read the options and the connection file; None if the ordinary way must do it."""
    if len(argv) < 2 or argv[0] != "-f":
        return None
    options: dict[str, Any] = {"IPKernelApp.connection_file": argv[1]}
    for option in argv[2:]:
        name, given, value = option.removeprefix("--").partition("=")
        if not given or name not in _OPTIONS:
            return None
        options[name] = _OPTIONS[name](value)
    try:
        with open(argv[1], encoding="utf-8") as file:
            connection = json.load(file)
    except (OSError, ValueError):
        return None
    if not {"Session.session", "IPKernelApp.ipython_dir"} <= options.keys():
        return None
    ports = [value for name, value in connection.items() if name.endswith("_port")]
    return (options, connection) if len(ports) == 5 and all(ports) else None


def _complete(app: EngineApp, options: dict[str, Any], connection: Any) -> None:
    """Make the application that of this engine, in the order of ``IPKernelApp.initialize``."""
    app.begin()
    session_id = options.pop("Session.session")
    app.set_ipython_dir(options.pop("IPKernelApp.ipython_dir"))
    for name, value in options.items():
        setattr(app, name.partition(".")[2], value)
    app.session.session, app.session.pid = session_id, os.getpid()
    app.load_connection_info(connection)
    app.init_crash_handler()
    _make_known(app)
    app.init_sockets()
    app.init_heartbeat()
    app.log_connection_info()  # which also notes the ports
    app.init_io()
    app.init_signal()
    _complete_kernel(app)
    _complete_shell(app)
    app.init_path()
    app.init_gui_pylab()
    sys.stdout.flush()
    sys.stderr.flush()


def _make_known(app: EngineApp) -> None:
    """Let ``instance()`` of the classes find what was made, as if it had made it."""
    made: Any
    for made in (app, app.kernel, app.shell):
        for each in type(made)._walk_mro():
            each._instance = made


def _complete_kernel(app: EngineApp) -> None:
    """Give the kernel what ``IPKernelApp.init_kernel`` and ``Kernel.__init__`` give it."""
    kernel: Any = app.kernel
    kernel.ident = str(uuid.uuid4())
    kernel.shell_stream = ZMQStream(app.shell_socket)
    loop = app.control_thread.io_loop
    kernel.control_stream = ZMQStream(app.control_socket, loop)
    kernel.debugpy_stream = ZMQStream(app.debugpy_socket, loop)
    app.control_thread.start()
    for name in (
        "debug_shell_socket", "control_thread", "shell_channel_thread", "iopub_thread",
        "iopub_socket", "stdin_socket",
    ):  # fmt: skip
        setattr(kernel, name, getattr(app, name))
    kernel._stdout, kernel._stderr = sys.stdout, sys.stderr
    kernel.record_ports({f"{name}_port": port for name, port in app._ports.items()})
    app.displayhook.get_execution_count = lambda: kernel.execution_count


def _complete_shell(app: EngineApp) -> None:
    """Have the shell read again what it has read of the fork server's environment and streams."""
    shell: Any = app.shell
    shell.ipython_dir = app.ipython_dir
    shell.starting_dir = os.getcwd()
    shell.history_manager.dir_hist[:] = shell.history_manager._dir_hist_default()
    shell.history_manager.hist_file = os.path.join(shell.profile_dir.location, "history.sqlite")
    shell.displayhook.topic = app.kernel._topic("execute_result")
    shell.displayhook.pub_socket = shell.display_pub.pub_socket = app.iopub_socket
    shell.sys_excepthook = sys.excepthook
    if name := os.environ.get("JPY_SESSION_NAME"):
        shell.user_ns["__session__"] = name
    shell.init_environment()
    shell.init_virtualenv()
    shell.init_encoding()
    shell.save_sys_module_state()
    shell.init_sys_modules()
    atexit.register(shell.atexit_operations)
