"""The fork server's process: what it is made of, and whose death it follows."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from kernelfleet.provisioners.forkserver import ForkServer
from kernelfleet.provisioners.kinds import BUILD_ENGINE, LOAD_ENGINE, Kind
from tests.fleets import eventually

ROOT = Path(__file__).resolve().parents[2]

#: An owner: forks one process that runs ``code``, and tells the two process ids.
OWNER = """
import asyncio, os, signal, sys
from kernelfleet.provisioners.forkserver import ForkServer
from kernelfleet.provisioners.kinds import Kind
os.chdir(sys.argv[1])
open("run_code.py", "w").write("import sys\\nexec(sys.argv[1])")
server = ForkServer(Kind((), ()))
argv = [sys.executable, "-m", "run_code", sys.argv[2]]
process = asyncio.run(server.fork(argv, dict(os.environ), os.getcwd(), [1, 2]))
if sys.argv[3]:
    exec(sys.argv[3])
os.write(1, f"{server.pid} {process.pid}\\n".encode())  # at once: the kernel writes there, too
signal.pause()
"""

SLEEP = "import time; import os; os.write(1, b'runs\\n'); time.sleep(300)"
HOLD_THE_GIL = "import os; os.write(1, b'runs\\n'); sum(range(10**12))"


@contextmanager
def owner(
    folder: Path, code: str, then: str = ""
) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """The owner's process, its zygote's id and its kernel's."""
    command = [sys.executable, "-c", OWNER, str(folder), code, then]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    lines = sorted((process.stdout.readline(), process.stdout.readline()))
    try:
        assert lines[1] == "runs\n", lines
        zygote, kernel = map(int, lines[0].split())
        yield process, zygote, kernel
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    eventually(lambda: is_gone(zygote), 5)
    eventually(lambda: is_gone(kernel), 5)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("code", [SLEEP, HOLD_THE_GIL], ids=["sleeps", "holds the GIL"])
def test_a_killed_owner_takes_its_kernels_along(folder: Path, code: str) -> None:
    with owner(folder, code) as (process, _, _):
        process.kill()


def test_a_killed_owner_does_so_whatever_it_has_forked(folder: Path) -> None:
    """The child holds a copy of the owner's end of the socket."""
    fork = "child = os.fork()\nif child == 0:\n    os.close(1); signal.pause()\nprint(end='')"
    with owner(folder, SLEEP, fork) as (process, zygote, kernel):
        children = psutil.Process(process.pid).children()
        (child,) = (each for each in children if each.pid != zygote)
        process.kill()
        process.wait()
        eventually(lambda: is_gone(zygote), 5)
        eventually(lambda: is_gone(kernel), 5)
        assert child.is_running()
        child.kill()


def test_kernels_outlive_a_killed_fork_server_but_not_the_owner(folder: Path) -> None:
    with owner(folder, SLEEP) as (process, zygote, kernel):
        os.kill(zygote, signal.SIGKILL)
        eventually(lambda: is_gone(zygote))
        assert not is_gone(kernel)
        process.kill()
        process.wait()
        eventually(lambda: is_gone(kernel), 5)


def test_what_a_kernel_has_started_goes_with_it(folder: Path) -> None:
    child = folder / "child"
    code = (
        "import subprocess, pathlib; p = subprocess.Popen(['sleep', '300']); "
        f"pathlib.Path({str(child)!r}).write_text(str(p.pid)); {SLEEP}"
    )
    with owner(folder, code) as (process, _, _):
        process.kill()
    eventually(lambda: is_gone(int(child.read_text())), 5)


@pytest.mark.parametrize(
    "start",
    [
        "subprocess.Popen(['sleep', '300'], start_new_session=True, env={})",
        'subprocess.run(\'trap "" TERM; setsid sh -c "sleep 300; sleep 300" &\', shell=True)',
    ],
    ids=["in its own session", "a daemon that starts others"],
)
@pytest.mark.parametrize("alive", [True, False], ids=["kernel lives", "kernel has died"])
def test_what_a_kernel_has_made_independent_goes_with_the_owner(
    folder: Path, start: str, alive: bool
) -> None:
    code = f"import subprocess; child = {start}; {SLEEP}"
    with owner(folder, code) as (process, zygote, kernel):
        server = psutil.Process(zygote)

        def daemons() -> list[psutil.Process]:
            below = server.children(recursive=True)
            return [each for each in below if each.name() == "sleep"]

        eventually(lambda: len(daemons()) == 1)
        (daemon,) = daemons()
        if not alive:
            os.kill(kernel, signal.SIGKILL)
            # Its first thread may be a zombie before the last one has left its children.
            eventually(lambda: not psutil.pid_exists(kernel))
        assert daemons() == [daemon]
        process.kill()
        process.wait()
        eventually(lambda: is_gone(daemon.pid), 5)


def test_orphans_that_end_are_nobodys_exit_and_leave_no_zombie(folder: Path) -> None:
    code = f"import subprocess; subprocess.run('setsid true &', shell=True); {SLEEP}"
    with owner(folder, code) as (_, zygote, kernel):
        server = psutil.Process(zygote)
        eventually(lambda: [each.pid for each in server.children()] == [kernel])


def test_an_owner_that_is_gone_already_is_noticed() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "kernelfleet.provisioners.zygote", "0", str(gone.pid)]
    with ours, theirs:
        subprocess.run(command, check=True, timeout=30, stdin=theirs.fileno())
        theirs.close()
        assert ours.recv(1) == b""


@pytest.mark.parametrize(
    ("modules", "prepare"),
    [((), ()), ((LOAD_ENGINE,), ()), ((LOAD_ENGINE,), (BUILD_ENGINE,))],
    ids=["nothing", "an engine's modules", "an engine's shell"],
)
def test_it_has_one_thread_and_no_socket_but_its_owners(
    modules: tuple[tuple[str, str], ...], prepare: tuple[tuple[str, str], ...]
) -> None:
    server = ForkServer(Kind(modules, (("OPENBLAS_NUM_THREADS", "1"),), (), prepare))

    def is_ready() -> bool:
        server.pump()
        return server._ready_at is not None

    eventually(is_ready, 60)
    zygote = psutil.Process(server.pid)
    assert (zygote.num_threads(), server.failed) == (1, {})
    descriptors = [os.readlink(f"/proc/{zygote.pid}/fd/{fd}") for fd in fds_of(zygote.pid)]
    assert sum(each.startswith("socket:") for each in descriptors) == 1
    assert not [each for each in descriptors if "eventfd" in each]  # of a ZMQ context
    assert os.getsid(zygote.pid) == zygote.pid
    server.close()


def fds_of(pid: int) -> list[str]:
    return [fd for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2]
