"""The fork server's process: imports once what a kernel needs, then forks kernels from it.

Run as ``python -m kernelfleet.provisioners.zygote FD MODULE,MODULE...`` with one end of a socket
pair. It is single-threaded and has no event loop, ZMQ context or lock, or its children would
inherit them in whatever state they are. It ends, and ends its children, when its owner is gone.

Requests and answers are JSON packets::

    {"id": 1, "argv": [...], "env": {...}, "cwd": "..."} + 2 descriptors -> {"id": 1, "pid": 4711}
    (a child has ended)                                    -> {"exited": 4711, "code": -9}

This file depends on nothing of the package.
"""

from __future__ import annotations

import array
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

#: The largest packet: an environment may have some tens of kilobytes.
MAX_PACKET_BYTES = 1024 * 1024

_PR_SET_PDEATHSIG = 1


def main() -> NoReturn:
    """Serve until the owner is gone."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    _die_with_owner()
    failed = _preload([name for name in sys.argv[2].split(",") if name])
    wakeup, wakeup_write = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(wakeup_write, False)
    signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    signal.signal(signal.SIGTERM, lambda *_: _end(children))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the owner's affair
    # What is there now is shared by all children; the collector must not touch, and so copy, it.
    gc.collect()
    gc.freeze()
    with suppress(OSError):
        sock.send(json.dumps({"ready": True, "failed": failed}).encode())
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == wakeup:
                with suppress(BlockingIOError):
                    os.read(wakeup, 4096)
                _reap(sock, children)
            elif not _serve(sock, children, (wakeup, wakeup_write)):
                _end(children)


def _die_with_owner() -> None:
    """Have SIGTERM sent to us when the thread that started us dies.

    Its end of the socket alone does not tell: a process that the owner has forked holds a copy.
    """
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _preload(modules: list[str]) -> dict[str, str]:
    """Import the modules; what went wrong, by module (a kernel may do without)."""
    failed = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 (told to the owner)
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


def _end(children: set[int]) -> NoReturn:
    for pid in children:
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
    os._exit(0)


def _reap(sock: socket.socket, children: set[int]) -> None:
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        children.discard(pid)
        code = os.waitstatus_to_exitcode(status)
        with suppress(OSError):
            sock.send(json.dumps({"exited": pid, "code": code}).encode())


def _serve(sock: socket.socket, children: set[int], private: tuple[int, ...]) -> bool:
    """Answer one request; False if the owner is gone."""
    try:
        packet, fds = _receive(sock)
    except OSError:
        return False
    if not packet:
        return False
    request = json.loads(packet)
    # A SIGTERM (the owner has died) between fork and here must not be lost on the child.
    try:
        pid = os.fork()
    except OSError as error:
        answer = {"id": request["id"], "error": str(error)}
    else:
        if pid == 0:
            _become_kernel(request, fds, (sock.fileno(), *private))
        children.add(pid)
        answer = {"id": request["id"], "pid": pid}
    for fd in fds:
        os.close(fd)
    with suppress(OSError):  # the owner is gone: the next look at the socket says so
        sock.send(json.dumps(answer).encode())
    return True


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    packet, ancillary, _, _ = sock.recvmsg(MAX_PACKET_BYTES, socket.CMSG_SPACE(2 * fds.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return packet, list(fds)


def _become_kernel(request: dict[str, Any], fds: list[int], private: tuple[int, ...]) -> NoReturn:
    """The child: shed what is the fork server's, and run the kernel's module."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        _redirect(fds)
        for fd in (*private, *fds):
            with suppress(OSError):
                os.close(fd)
        os.environ.clear()
        os.environ.update(request["env"])
        if request["cwd"]:
            os.chdir(request["cwd"])
        _reseed()
        gc.unfreeze()
        gc.freeze()
        code = _run(request["argv"])
    except BaseException:  # noqa: BLE001 (nothing may return into the fork server's loop)
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _redirect(fds: list[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    stdout, stderr = fds if len(fds) == 2 else (null, null)
    os.dup2(null, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(null)


def _reseed() -> None:
    """Give the child random numbers of its own; the standard library's reseed themselves."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _run(argv: list[str]) -> int:
    """Run ``python -m MODULE ARGS`` without starting a Python; returns the exit code."""
    module = argv[2]
    sys.argv[:] = [argv[0], *argv[3:]]
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
