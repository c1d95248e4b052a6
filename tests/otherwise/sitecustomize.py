"""Makes an interpreter, and those it starts, believe that it runs on another platform.

Python imports this by itself when the folder is on PYTHONPATH; ``KERNELFLEET_TEST_PLATFORM`` says
which platform:

- ``darwin``: no /proc, memfd, pidfd, epoll or CPU affinity; a fleet runs all the same.
- ``win32``: no fcntl, fork, signals of Unix, ...; good for importing and for pure logic.
- ``win32-choices``: Linux, on which kernelfleet uses what it would use on Windows.

What kernelfleet stands on is Linux's and stays it: it asks for the platform when it is imported,
which is done here, before.
"""

import importlib
import os
import select
import signal
import sys
import types
from typing import Any

BELOW = (
    "asyncio", "concurrent.futures.process", "ctypes.util", "getpass", "http.server", "json",
    "logging.handlers", "mimetypes", "multiprocessing.util", "pathlib", "platform", "shutil",
    "socketserver", "subprocess", "tempfile", "uuid", "webbrowser",
    "IPython", "IPython.core.magics", "IPython.terminal.interactiveshell", "cloudpickle",
    "debugpy", "ipykernel.inprocess", "ipykernel.kernelapp", "ipykernel.zmqshell",
    "jupyter_client.manager", "jupyter_client.provisioning", "jupyter_client.session",
    "nest_asyncio2", "psutil", "rich.console", "rich.table", "rich.progress", "tornado.ioloop",
    "tqdm", "tqdm.auto", "traitlets.config", "zmq.auth.asyncio", "zmq.eventloop.zmqstream",
    "zmq.utils.monitor",
)  # fmt: skip

NOT_ON_DARWIN = {
    os: ("memfd_create", "pidfd_open", "sched_getaffinity", "sched_setaffinity", "O_PATH"),
    signal: ("pidfd_send_signal", "SIGRTMIN"),
    select: ("epoll",),
}
NOT_ON_WINDOWS = {
    os: (
        *NOT_ON_DARWIN[os],
        *("fork", "forkpty", "getuid", "geteuid", "getgid", "getpgrp", "getpgid", "killpg"),
        *("setsid", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "fchmod", "waitid", "WNOHANG"),
    ),
    signal: (
        *NOT_ON_DARWIN[signal],
        *("SIGKILL", "SIGHUP", "SIGURG", "SIGCHLD", "SIGUSR1", "SIGQUIT", "SIGSTOP", "SIGCONT"),
        *("pthread_kill", "alarm", "setitimer"),
    ),
    select: (*NOT_ON_DARWIN[select], "poll"),
}
UNIX_MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "_posixsubprocess")


def become(platform: str) -> None:
    """Take away what the platform does not have, and change its name."""
    if platform == "win32-choices":
        platforms: Any = importlib.import_module("kernelfleet.wire.platforms")
        platforms.HERE = platforms.platform_of("win32", set())
        return
    for name in BELOW:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    gone = NOT_ON_WINDOWS if platform == "win32" else NOT_ON_DARWIN
    for module, names in gone.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    for name in ("open", "listdir", "readlink", "scandir"):
        setattr(os, name, without_proc(getattr(os, name)))
    # so old that ipykernel wants nothing of the App Nap, for which it would need a library of macOS
    stdlib: Any = importlib.import_module("platform")
    stdlib.mac_ver = lambda: ("10.8", ("", "", ""), "arm64")
    if platform == "win32":
        for name in UNIX_MODULES:
            sys.modules[name] = None  # type: ignore[assignment]
        msvcrt: Any = types.ModuleType("msvcrt")
        msvcrt.locking, msvcrt.LK_NBLCK = lambda *_: None, 2
        sys.modules["msvcrt"] = msvcrt
        os.name = "nt"
    sys.platform = platform


def without_proc(function: Any) -> Any:
    """The function, on a system that has no /proc; psutil's own ways to it are its affair."""

    def call(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
        if str(path).startswith("/proc/") and ("/fd" in str(path) or "self" in str(path)):
            raise FileNotFoundError(2, "No such file or directory", path)
        return function(path, *args, **kwargs)

    return call


if "KERNELFLEET_TEST_PLATFORM" in os.environ:
    become(os.environ["KERNELFLEET_TEST_PLATFORM"])
