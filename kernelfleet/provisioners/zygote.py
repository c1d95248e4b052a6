"""The fork server's process: imports once what a kernel needs, then forks kernels from it.

Run with the arguments ``FD OWNER MODULES PRELOAD LAST``: one end of a socket pair, the process id
of its owner, and three lists in JSON. They are what the kernel needs, what the user wants loaded,
and what comes last. An item is the name of a module, or a list of a module, the name of a function
in it, and arguments to call that with. The process is single-threaded and has no event loop, ZMQ
context or lock, or its children would inherit them in whatever state they are.

It is started without the current folder on ``sys.path`` (``wire/safe_start.py``), and loads
everything of the kernel before it looks there. The user's modules may lie beside his notebook.

It ends, and ends its children, when its owner is gone; what they have made a daemon as well, for
it is the parent of whoever loses his own below it. When it is killed itself, its children live
on, and end with the owner.

Requests and answers are JSON packets::

    {"id": 1, "argv": [...], "env": {...}, "cwd": "..."} + 2 descriptors -> {"id": 1, "pid": 4711}
    (a child has ended)                                    -> {"exited": 4711, "code": -9}

This file depends on nothing of the package; the kernels that it forks do.
"""

from __future__ import annotations

import array
import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

#: The largest packet: an environment may have some tens of kilobytes.
MAX_PACKET_BYTES = 1024 * 1024

#: How long orphaned descendants of the children may take to end.
ENDING_SECONDS = 0.7
_PR_SET_CHILD_SUBREAPER = 36


def main() -> NoReturn:
    """Serve until the owner is gone."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    owner = _open_owner(int(sys.argv[2]))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner handles Ctrl-C
    failed = _preload(sys.argv[3])
    with _folder_of_the_user():
        failed |= _preload(sys.argv[4])
    failed |= _preload(sys.argv[5])
    wakeup, wakeup_write = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(wakeup_write, False)
    signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    # All children share the present objects; the collector must not touch, and so copy, them.
    gc.collect()
    gc.freeze()
    with suppress(OSError):
        sock.send(json.dumps({"ready": True, "failed": failed}).encode())
    poll = select.poll()
    for fd in (sock.fileno(), wakeup, owner):
        poll.register(fd, select.POLLIN)
    private = (sock.fileno(), wakeup, wakeup_write)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if owner in ready:
            _end(children)
        if wakeup in ready:
            with suppress(BlockingIOError):
                os.read(wakeup, 4096)
            _reap(sock, children)
        if sock.fileno() in ready and not _serve(sock, children, owner, private):
            _end(children)


def _open_owner(pid: int) -> int:
    """A descriptor that becomes readable when the owner dies.

    The socket alone does not: a process that the owner has forked holds a copy of its end. Nor
    does PR_SET_PDEATHSIG, which tells of the death of the thread that started us.
    """
    try:
        owner = os.pidfd_open(pid)
    except ProcessLookupError:
        os._exit(0)
    if os.getppid() != pid:
        os._exit(0)
    return owner


@contextmanager
def _folder_of_the_user() -> Iterator[None]:
    """Put the current directory on the path where IPython does: behind the standard library."""
    site = ("site-packages", "dist-packages")
    places = (at for at, path in enumerate(sys.path) if os.path.basename(path) in site)
    if not sys.flags.safe_path:
        sys.path.insert(next(places, 0), "")
    yield
    if not sys.flags.safe_path:
        sys.path.remove("")


def _preload(items: str) -> dict[str, str]:
    """Import modules, and call functions.

    Returns:
        The errors, by the last argument of the call or the name of the function or module; a
        kernel can do without what it needs itself.
    """
    failed = {}
    for item in json.loads(items):
        module, *call = [item] if isinstance(item, str) else item
        try:
            loaded = importlib.import_module(module)
            if call:
                getattr(loaded, call[0])(*call[1:])
        except (Exception, SystemExit) as error:  # noqa: BLE001 (reported to the owner)
            name = call[-1] if len(call) > 1 else ".".join([module, *call])
            failed[name] = f"{type(error).__name__}: {error}"
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or each child would print it again
    return failed


def _end(children: set[int]) -> NoReturn:
    for pid in children:
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
    deadline = time.monotonic() + ENDING_SECONDS
    while (left := _all_children()) and time.monotonic() < deadline:
        for pid in left:
            with suppress(OSError):
                os.kill(
                    pid, signal.SIGKILL
                )  # its pid is ours until we reap it; its children become ours
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        time.sleep(0.002)
    os._exit(0)


def _all_children() -> list[int]:
    """The pids of our children: the forked kernels, and orphans below them."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []  # a Linux kernel without that file


def _reap(sock: socket.socket, children: set[int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid not in children:
            continue  # an orphan: the owner does not know it
        children.remove(pid)
        code = os.waitstatus_to_exitcode(status)
        with suppress(OSError):
            sock.send(json.dumps({"exited": pid, "code": code}).encode())


def _serve(sock: socket.socket, children: set[int], owner: int, private: tuple[int, ...]) -> bool:
    """Answer one request; False if the owner is gone."""
    try:
        packet, fds = _receive(sock)
    except OSError:
        return False
    if not packet:
        return False
    request = json.loads(packet)
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of threads, but a preloaded BLAS handles the fork of its own.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
    except OSError as error:
        answer = {"id": request["id"], "error": str(error)}
    else:
        if pid == 0:
            _become_kernel(request, fds, owner, private)
        children.add(pid)
        answer = {"id": request["id"], "pid": pid}
    for fd in fds:
        os.close(fd)
    with suppress(OSError):  # the owner is gone: the next read of the socket shows it
        sock.send(json.dumps(answer).encode())
    return True


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    packet, ancillary, _, _ = sock.recvmsg(MAX_PACKET_BYTES, socket.CMSG_SPACE(2 * fds.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return packet, list(fds)


def _become_kernel(
    request: dict[str, Any], fds: list[int], owner: int, private: tuple[int, ...]
) -> NoReturn:
    """The child: close what belongs to the fork server, and run the kernel's module."""
    code, log = 1, 2
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        _redirect(fds)
        log = os.dup(2)
        for fd in (*private, *fds):
            with suppress(OSError):
                os.close(fd)
        _move(request["env"], request["cwd"])
        _reseed()
        gc.unfreeze()
        gc.freeze()
        threading.Thread(target=_die_with, args=[owner], name="OwnerWatch", daemon=True).start()
        code = run_command(request["argv"])
    except BaseException:  # noqa: BLE001 (a child must never return into the fork server's loop)
        with os.fdopen(log, "w") as file:  # kernels redirect standard error
            traceback.print_exc(file=file)
    finally:
        with suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]  # as an interpreter ends:
            atexit._run_exitfuncs()  # threads, then functions
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _move(env: dict[str, str], cwd: str | None) -> None:
    """Set the environment and the directory, and reset what was derived from the old ones."""
    if cwd is not None:
        os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    if "tempfile" in sys.modules:
        sys.modules["tempfile"].tempdir = None  # type: ignore[attr-defined]


def _die_with(owner: int) -> None:
    """End this process and what it has started when the owner dies.

    The fork server does so itself, unless it has died first.
    """
    from kernelfleet.wire import process_tags

    tag = process_tags.own_mark(os.environ)
    poll = select.poll()
    poll.register(owner, select.POLLIN)
    while not poll.poll():
        continue
    process_tags.end_carriers([tag] if tag else [])
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def _redirect(fds: list[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    stdout, stderr = fds if len(fds) == 2 else (null, null)
    os.dup2(null, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(null)


def _reseed() -> None:
    """Reseed numpy's random numbers in the child; the standard library reseeds its own."""
    for name in ("numpy.random", "torch"):
        module = sys.modules.get(name)
        if module is not None:
            module.seed()


def _current_folder() -> str:
    """The current directory as ``python -m`` takes it; empty if it was deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def run_command(argv: list[str]) -> int:
    """Run a module as Python would if it started with ``argv``; returns the exit code.

    That is ``python -m MODULE ...``, or ``python SCRIPT MODULE ...`` where the script runs the
    module without the current folder on the path.
    """
    if argv[1] == "-m" and not sys.flags.safe_path:
        sys.path.insert(0, _current_folder())
    module = argv[2]
    sys.argv[:] = [argv[0], *argv[3:]]
    sys.orig_argv[:] = argv
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        sys.stderr.write(f"{leaving.code}\n")
        return 1
    return 0


if __name__ == "__main__":
    main()
