"""What the launcher starts, once per rank: the keeper of the kernel that is the rank.

Run with the argument ``SOCKET``, at which the controller of this machine listens. It says which
rank it is, is told what to run, and forks: the child becomes the kernel, and inherits the
descriptors and variables that MPI_Init needs.
The keeper stays for as long as the world does, so that

- the launcher does not notice the end of a kernel before we do, and kill the others: an ordinary
  end of the fleet stays an ordinary end for each of them;
- somebody knows how a kernel has ended, even if the launcher kills everybody at that moment, as
  MPICH's does after an MPI_Abort. What it kills is only the process that it has started itself,
  which waits for the keeper, and whose end the keeper notices;
- no kernel outlives the controller or the launcher.

Packets are JSON::

    keeper     -> {"rank": 2, "size": 4}
    controller -> {"argv": [...], "set": {...}, "unset": [...], "cwd": "..."} + a log's descriptor
    keeper     -> {"kernel": 4711}
    keeper     -> {"launcher": "lost"}                     (if the launcher was killed)
    keeper     -> {"ended": -11, "told": false}

The keeper ends when the controller closes the connection, and not before.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any, NoReturn

from kernelfleet.provisioners.zygote import run_command
from kernelfleet.wire.launcher_variables import RANK_VARIABLES, rank_of

#: The largest packet: an environment may have some tens of kilobytes.
MAX_PACKET_BYTES = 1024 * 1024

#: When the launcher ends a rank, the kernel gets so long to end by itself: it may be the one that
#: has called MPI_Abort, upon which the launcher ends all.
BY_ITSELF_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
_CREDENTIALS = struct.Struct("3i")

#: How the line of a rank begins that has come to the wrong machine.
NOT_HERE = "kernelfleet:"
CURE = (
    "For ranks on several machines the fleet needs cluster=, with all machines that the launcher "
    "uses: cluster='srun' inside a job of Slurm, else cluster='ssh:host1,host2'"
)


def main() -> NoReturn:
    """Start the keeper, and wait for its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started, launcher = os.getpid(), os.getppid()
    keeper = os.fork()
    if keeper == 0:
        with suppress(Exception):
            _keep(_open(started), _open(launcher))
        os._exit(1)
    _, status = os.waitpid(keeper, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _keep(started: int, launcher: int) -> NoReturn:
    """Report, start the kernel when told to, and stay with it.

    Args:
        started: The process that the launcher has started, as a pidfd.
        launcher: Its parent, the launcher.
    """
    os.setsid()  # the launcher ends its children by their groups
    found = rank_of(os.environ)
    connection, pid_of_controller = _connect(
        sys.argv[1], "a rank" if found is None else f"rank {found[0]}"
    )
    controller = _open(pid_of_controller)
    if found is None:
        names = ", ".join(rank for rank, _ in RANK_VARIABLES)
        _send(connection, {"error": f"the launcher has set none of {names}"})
        os._exit(1)
    _send(connection, {"rank": found[0], "size": found[1]})
    others = (controller, started, launcher)
    task, fds = _wait_for_task(connection, others)
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        _become_kernel(parent, task, fds, (connection.fileno(), *others))
    for fd in fds:
        os.close(fd)
    _send(connection, {"kernel": pid})
    _stay(connection, pid, controller=controller, started=started, launcher=launcher)


def _connect(path: str, who: str) -> tuple[socket.socket, int]:
    """Connect to the controller of this machine; the connection, and its process id.

    If there is none, the launcher has brought us to another machine than those of the fleet. What
    is said of it here is what the launcher writes, and so comes to the user.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(path)
    except OSError as error:
        _refuse(who, str(error))
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(told)
    if uid != os.geteuid():
        _refuse(who, f"the user {uid} listens at {path}")
    if pid == 0:
        _refuse(who, f"whoever listens at {path} is in another container")
    return connection, pid


def _refuse(who: str, why: str) -> NoReturn:
    """End, as this machine has nothing for us."""
    text = f"{NOT_HERE} {who} was started on {platform.node()}, where this fleet has no node"
    sys.stderr.write(f"{text} ({why}). {CURE}\n")
    sys.stderr.flush()
    os._exit(1)


def _open(pid: int) -> int:
    """A descriptor that becomes readable when the process ends."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        os._exit(1)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    with suppress(OSError):  # the controller is gone, which the next poll shows
        connection.send(json.dumps(message).encode())


def _wait_for_task(
    connection: socket.socket, others: tuple[int, ...]
) -> tuple[dict[str, Any], list[int]]:
    """What to run; ends this process if nobody is left who could say it."""
    poll = select.poll()
    for fd in (connection.fileno(), *others):
        poll.register(fd, select.POLLIN)
    if any(fd != connection.fileno() for fd, _ in poll.poll()):
        os._exit(1)
    packet, fds, _, _ = socket.recv_fds(connection, MAX_PACKET_BYTES, 1)
    if not packet:
        os._exit(0)
    return json.loads(packet), list(fds)


def _stay(
    connection: socket.socket, pid: int, *, controller: int, started: int, launcher: int
) -> NoReturn:
    """Stay with the kernel until the controller lets this process go."""
    kernel = os.pidfd_open(pid)
    poll = select.poll()
    for fd in (connection.fileno(), controller, started, launcher, kernel):
        poll.register(fd, select.POLLIN)
    deadline: float | None = None
    told = False
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        ready = {fd for fd, _ in poll.poll(left)}
        if kernel in ready:
            poll.unregister(kernel)
            deadline = None
            # Not reaped: until we leave, its number is not given to another process.
            info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            assert info is not None
            code = info.si_status if info.si_code == os.CLD_EXITED else -info.si_status
            _send(connection, {"ended": code, "told": told})
        for fd in ready & {started, launcher}:
            poll.unregister(fd)
            if fd == launcher:
                _send(connection, {"launcher": "lost"})
            deadline = time.monotonic() + BY_ITSELF_SECONDS
        if ready & {controller, connection.fileno()}:
            break
        if deadline is not None and time.monotonic() >= deadline:
            told, deadline = True, None
            _kill(pid)
    _kill(pid)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _kill(pid: int) -> None:
    """End the kernel with its group; it is not reaped yet."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # it was just forked, and has no group


def _become_kernel(
    parent: int, task: dict[str, Any], fds: list[int], private: tuple[int, ...]
) -> NoReturn:
    """The child: run the kernel's command, as the process that the launcher has started would."""
    code, log = 1, 2
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)  # Open MPI gives the launcher's to rank 0
        for fd in (1, 2):
            os.dup2(fds[0], fd)
        log = os.dup(2)
        for fd in (*private, *fds, null):
            os.close(fd)
        if task["cwd"] is not None:
            os.chdir(task["cwd"])
        for name in task["unset"]:
            os.environ.pop(name, None)
        os.environ.update(task["set"], JPY_PARENT_PID=str(parent))
        code = run_command(task["argv"])
    except BaseException:  # noqa: BLE001 (a child must never return into the parent's code)
        with os.fdopen(log, "w") as file:
            traceback.print_exc(file=file)
    finally:
        with suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]  # as an interpreter ends
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
